"""The frame of a corpus' boxes: from stored pixels to the EXIF-oriented image.

A corpus has boxes in the pixels as stored or in the oriented image. With `auto` the declared width and height
decide; if they cannot (none declared, a square image, both frames or neither match), the boxes are in stored
pixels. In and out: absolute pixels, x_min y_min x_max y_max.
"""

from typing import Literal

import numpy as np

from fo1_data.boxes import Boxes, are_finite, as_boxes, clip_boxes, have_area, norm_to_xyxy
from fo1_data.corpus.images import DecodedImage
from schemas.corpus import CorpusAnswer, CorpusExample, CorpusImage, CorpusPhrase, CorpusRegion
from schemas.images import Reject, RejectStage

BoxFrame = Literal["auto", "stored", "oriented"]
_AXES_SWAPPED = (5, 6, 7, 8)


def oriented_entry(
    entry: CorpusImage, image: DecodedImage, box_frame: BoxFrame
) -> tuple[CorpusImage, list[Reject]]:
    """The entry in the oriented frame, and a reject for each unusable box.

    Size, regions (clipped to the image), and labels with the indices of the remaining regions. A box is
    unusable if it is not finite, is inverted, or has no area within the image. The regions of a phrase that
    loses all of them become None (not known): an empty list would mean that the phrase is absent.
    """
    regions, rejects, kept = _orient_regions(entry, image, box_frame)
    new_index = {old: new for new, old in enumerate(kept)}
    oriented = entry.model_copy(
        update={
            "width": image.width,
            "height": image.height,
            "box_unit": "pixel",
            "regions": None if entry.regions is None else regions,
            "phrases": [_remap_phrase(phrase, new_index) for phrase in entry.phrases],
            "answers": _remap_answers(entry, new_index),
            "examples": _remap_examples(entry, new_index),
        }
    )
    return oriented, rejects


def is_stored_frame(entry: CorpusImage, image: DecodedImage, box_frame: BoxFrame) -> bool:
    """Whether the entry's boxes are in stored pixels, so that they must be oriented."""
    if box_frame != "auto":
        return box_frame == "stored"
    declared = (entry.width, entry.height)
    return not (declared == (image.width, image.height) and declared != image.stored_wh)


def orient_boxes(boxes_stored_xyxy: Boxes, stored_wh: tuple[int, int], orientation: int) -> Boxes:
    """(N, 4) boxes in stored pixels to boxes in the image after EXIF `orientation` (1 to 8) is applied.

    The eight cases of EXIF 2.32, tag 0x0112: 2 mirrored left-right, 3 rotated by 180 degrees,
    4 mirrored top-bottom, 5 transposed, 6 rotated clockwise, 7 transverse, 8 rotated anticlockwise.
    """
    width, height = stored_wh
    left, top, right, bottom = boxes_stored_xyxy.astype(np.float64).T
    if orientation in (2, 3, 7, 8):
        left, right = width - right, width - left
    if orientation in (3, 4, 6, 7):
        top, bottom = height - bottom, height - top
    if orientation in _AXES_SWAPPED:
        left, top, right, bottom = top, left, bottom, right
    return np.stack([left, top, right, bottom], axis=1).astype(np.float32)


def _orient_regions(
    entry: CorpusImage, image: DecodedImage, box_frame: BoxFrame
) -> tuple[list[CorpusRegion], list[Reject], list[int]]:
    """The usable regions, a reject for each other one, and the indices of the usable ones."""
    boxes = as_boxes([region.box_xyxy for region in entry.regions or []])
    is_finite, has_area = are_finite(boxes), have_area(boxes)
    is_stored = is_stored_frame(entry, image, box_frame)
    if entry.box_unit == "share":
        boxes = norm_to_xyxy(boxes, image.stored_wh if is_stored else (image.width, image.height))
    if is_stored:
        boxes = orient_boxes(boxes, image.stored_wh, image.orientation)
    boxes = clip_boxes(boxes, (image.width, image.height))
    is_usable = is_finite & have_area(boxes)
    regions, rejects, kept = [], [], []
    for index, region in enumerate(entry.regions or []):
        if is_usable[index]:
            box = tuple(boxes[index].tolist())
            regions.append(region.model_copy(update={"box_xyxy": box}))
            kept.append(index)
            continue
        reason = "outside" if has_area[index] else "no_area" if is_finite[index] else "not_finite"
        rejects.append(_reject(entry, image, index, reason))
    return regions, rejects, kept


_MESSAGES = {
    "not_finite": "is not finite",
    "no_area": "has no area",
    "outside": "has no area within the image",
}


def _reject(entry: CorpusImage, image: DecodedImage, index: int, reason: str) -> Reject:
    assert entry.regions is not None
    region = entry.regions[index]
    box = ", ".join(f"{value:g}" for value in region.box_xyxy)
    label = f" ({region.label})" if region.label else ""
    source = entry.model_copy(update={"regions": [region], "phrases": [], "counts": []})
    return Reject(
        uri=entry.name,
        stage=RejectStage.BOX,
        reason=reason,
        message=f"box {index}{label} [{box}] {_MESSAGES[reason]} of {image.width} x {image.height}",
        replayable=False,
        image_id=image.image_id,
        source=source.model_dump_json(exclude_defaults=True),
    )


def _remap_phrase(phrase: CorpusPhrase, new_index: dict[int, int]) -> CorpusPhrase:
    if not phrase.region_indices:
        return phrase
    indices = [new_index[index] for index in phrase.region_indices if index in new_index]
    return phrase.model_copy(update={"region_indices": indices or None})


def _remap_answers(entry: CorpusImage, new_index: dict[int, int]) -> list[CorpusAnswer]:
    image_answers = [answer for answer in entry.answers if answer.region_index is None]
    region_answers = [
        answer.model_copy(update={"region_index": new_index[answer.region_index]})
        for answer in entry.answers
        if answer.region_index in new_index
    ]
    return [*image_answers, *region_answers]


def _remap_examples(entry: CorpusImage, new_index: dict[int, int]) -> list[CorpusExample]:
    return [
        CorpusExample(
            region_index=new_index[example.region_index],
            region_indices=[new_index[index] for index in example.region_indices if index in new_index],
        )
        for example in entry.examples
        if example.region_index in new_index
    ]
