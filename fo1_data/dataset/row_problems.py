"""What is wrong with a row of a dataset, in words: each problem is a few words, without the file and image.

`row_checks` finds the rows that have problems; this file says which. Changes nothing.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator

from schemas.images import ImageRow
from schemas.labels import Label, strictest
from schemas.regions import Region, is_id_of_box

# Boxes are float32: a coordinate on the border may round past it by this much (pixels).
BORDER_PX = 0.01
_HEX = frozenset("0123456789abcdef")


def row_problems(row: ImageRow, split: str | None = None) -> Iterator[str]:
    """The problems of one row (in a file of `split`), each in a few words."""
    if len(row.image_id) != 64 or not set(row.image_id) <= _HEX:
        yield f"image_id {row.image_id!r} is no SHA-256"
    if row.image.bytes is not None and hashlib.sha256(row.image.bytes).hexdigest() != row.image_id:
        yield "the embedded bytes are not those of image_id"
    if not row.uris or row.uris[0] != row.uri:
        yield "uri is not the first of uris"
    if split is not None and row.split != split:
        yield f"its split is {row.split!r}"
    if row.width < 1 or row.height < 1 or not 1 <= row.orientation <= 8:
        yield f"no frame: {row.width} x {row.height}, orientation {row.orientation}"
    for position, region in enumerate(row.regions):
        yield from (f"region {position}: {problem}" for problem in _region_problems(row, region, position))
    uses = Counter(region.region_id for region in row.regions)
    yield from (f"{number} regions have the id {name!r}" for name, number in uses.items() if number > 1)
    yield from _dangling(row)
    for label in row.all_labels():
        yield from _label_problems(label)
    expected = strictest(label.decision for label in row.all_labels())
    if row.decision != expected:
        yield f"decision is {_word(row.decision)}, the strictest of its parts is {_word(expected)}"


def _region_problems(row: ImageRow, region: Region, position: int) -> Iterator[str]:
    if region.index != position:
        yield f"its index is {region.index}"
    x_min, y_min, x_max, y_max = region.box_xyxy
    if not all(math.isfinite(value) for value in region.box_xyxy):
        yield f"box {region.box_xyxy} is not finite"
        return
    if not (x_min < x_max and y_min < y_max):
        yield f"box {region.box_xyxy} has no area"
    inside = x_min >= -BORDER_PX and y_min >= -BORDER_PX
    if not (inside and x_max <= row.width + BORDER_PX and y_max <= row.height + BORDER_PX):
        yield f"box {region.box_xyxy} lies outside its image of {row.width} x {row.height}"
    if not is_id_of_box(region.region_id, row.image_id, region.box_xyxy):
        yield f"region_id {region.region_id!r} is not that of its image and box"
    if region.objectness is not None and not 0 <= region.objectness <= 1:
        yield f"objectness {region.objectness} is not within 0 and 1"
    if region.mask_rle is not None and region.mask_rle.size != [row.height, row.width]:
        yield f"mask is not of the image's size: {region.mask_rle.size}, not {[row.height, row.width]}"
    expected = strictest(label.decision for label in region.labels)
    if region.decision != expected:
        yield f"decision is {_word(region.decision)}, the strictest of its labels is {_word(expected)}"


def _dangling(row: ImageRow) -> Iterator[str]:
    region_ids = {region.region_id for region in row.regions}
    references = [
        ("grounding", part.phrase, named_id) for part in row.groundings for named_id in part.region_ids
    ]
    references += [("count", part.phrase, named_id) for part in row.counts for named_id in part.region_ids]
    references += [
        ("answer", part.question, part.region_id) for part in row.answers if part.region_id is not None
    ]
    for kind, text, region_id in references:
        if region_id not in region_ids:
            yield f"{kind} {text[:40]!r} names region {region_id!r}, which the row does not have"


def _label_problems(label: Label) -> Iterator[str]:
    if label.confidence is not None and not 0 <= label.confidence <= 1:
        yield f"confidence {label.confidence} of a {label.kind} label is not within 0 and 1"
    for signal in label.signals:
        if not math.isfinite(signal.value):
            yield f"signal {signal.name} of a {label.kind} label is {signal.value}"


def _word(value: object) -> str:
    return "null" if value is None else str(value)
