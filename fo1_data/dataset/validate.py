"""Checks a finished dataset against its manifest: the bytes of every file, the sense of every row.

Each problem is one line: the file, the image if it is about one, and what is wrong. A file with other
bytes than listed is still checked if it can be read. Changes nothing.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa

from fo1_data.dataset.counting import count_row
from fo1_data.dataset.history import is_history_file
from fo1_data.dataset.layout import REJECTS, split_and_index
from fo1_data.dataset.reader import Dataset, open_dataset
from fo1_data.errors import DatasetError
from schemas.dataset import Counts, ManifestFile
from schemas.images import ImageRow
from schemas.labels import Label, strictest
from schemas.regions import Region, is_id_of_box

MOST_PROBLEMS = 1_000
_BLOCK_BYTES = 2**22
# Boxes are float32: a coordinate on the border may round past it by this much (pixels).
_BORDER_PX = 0.01
_HEX = frozenset("0123456789abcdef")


def validate_dataset(address: str) -> list[str]:
    """All problems of the dataset at `address`, at most `MOST_PROBLEMS` lines.

    Raises DatasetError if there is no finished dataset.
    """
    problems: list[str] = []
    for problem in _problems(open_dataset(address)):
        if len(problems) == MOST_PROBLEMS:
            problems.append("more problems were found and are not listed")
            break
        problems.append(problem)
    return problems


def _problems(dataset: Dataset) -> Iterator[str]:
    for file in dataset.manifest.files:
        yield from _file_problems(dataset, file)
    yield from _unlisted(dataset)
    counts = Counts()
    seen: dict[str, str] = {}
    whole = True
    for file in dataset.data_files():
        try:
            for number, row in enumerate(dataset.rows_of(file), start=1):
                counts += count_row(row)
                where = f"{file.path}: image {row.image_id[:16] or f'of row {number}'}"
                yield from (f"{where}: {problem}" for problem in row_problems(row, _split(file)))
                if row.image_id in seen:
                    yield f"{where}: also a row of {seen[row.image_id]}"
                seen[row.image_id] = file.path
        except (DatasetError, pa.ArrowException, ValueError, OSError) as error:
            whole = False
            yield f"{file.path}: cannot be read: {' '.join(str(error).split())[:300]}"
    try:
        counts = counts.model_copy(update={"rejected": sum(1 for _ in dataset.rejects())})
    except (DatasetError, pa.ArrowException, ValueError, OSError) as error:
        whole = False
        yield f"{REJECTS}: cannot be read: {' '.join(str(error).split())[:300]}"
    if whole:
        yield from _count_problems(dataset.manifest.counts, counts)


def _file_problems(dataset: Dataset, file: ManifestFile) -> Iterator[str]:
    digest, num_bytes = hashlib.sha256(), 0
    try:
        with dataset.store.open_input(file.path) as source:
            while block := source.read(_BLOCK_BYTES):
                digest.update(block)
                num_bytes += len(block)
    except FileNotFoundError:
        yield f"{file.path}: missing"
        return
    if num_bytes != file.num_bytes:
        yield f"{file.path}: {num_bytes} bytes, the manifest says {file.num_bytes}"
    elif digest.hexdigest() != file.sha256:
        yield f"{file.path}: its SHA-256 is not the manifest's: the file was changed or damaged"
    other_file = file.path.startswith("rejects") or is_history_file(file.path)
    if split_and_index(file.path) is None and not other_file:
        yield f"{file.path}: neither a data file nor the rejects"


def _unlisted(dataset: Dataset) -> Iterator[str]:
    listed = {file.path for file in dataset.manifest.files}
    for path in dataset.store.list("data"):
        if path not in listed:
            yield f"{path}: not listed in the manifest, and read by those who read the folder"


def _count_problems(declared: Counts, actual: Counts) -> Iterator[str]:
    for name, value in actual.model_dump().items():
        if name.endswith("_boxes") and not declared.knows_boxes:
            continue
        if value != getattr(declared, name):
            yield f"manifest.json: counts.{name} is {getattr(declared, name)}, the files hold {value}"


def _split(file: ManifestFile) -> str:
    place = split_and_index(file.path)
    return place[0] if place else ""


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
    inside = x_min >= -_BORDER_PX and y_min >= -_BORDER_PX
    if not (inside and x_max <= row.width + _BORDER_PX and y_max <= row.height + _BORDER_PX):
        yield f"box {region.box_xyxy} lies outside its image of {row.width} x {row.height}"
    if not is_id_of_box(region.region_id, row.image_id, region.box_xyxy):
        yield f"region_id {region.region_id!r} is not that of its image and box"
    if region.objectness is not None and not 0 <= region.objectness <= 1:
        yield f"objectness {region.objectness} is not within 0 and 1"
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
