"""The frame of a corpus' boxes: from stored pixels to the EXIF-oriented image.

A corpus gives boxes in the pixels as stored or in the image as shown. With `auto` its declared
width and height decide; where they do not tell (none declared, a square image, both fit or
neither), the boxes are in stored pixels. In and out: absolute pixels, x_min y_min x_max y_max.
"""

from typing import Literal

import numpy as np

from fo1_data.boxes import Boxes, are_finite, as_boxes, clip_boxes, have_area, norm_to_xyxy
from fo1_data.corpus.images import DecodedImage
from schemas.corpus import CorpusAnswer, CorpusExample, CorpusImage, CorpusPhrase, CorpusRegion
from schemas.images import Reject, RejectStage

BoxFrame = Literal["auto", "stored", "oriented"]
_TURNED = (5, 6, 7, 8)


def oriented_regions(
    entry: CorpusImage, image: DecodedImage, box_frame: BoxFrame
) -> tuple[list[CorpusRegion], list[Reject]]:
    """The entry's regions in the oriented frame, clipped to the image, and a reject for each bad one.

    Bad is a box that is not finite, is inverted, or has no area within the image.
    """
    regions, rejects, _ = _split(entry, image, box_frame)
    return regions, rejects


def oriented_entry(
    entry: CorpusImage, image: DecodedImage, box_frame: BoxFrame
) -> tuple[CorpusImage, list[Reject]]:
    """The entry in the oriented frame: size, regions, and phrases that name the regions left.

    A phrase's index of a rejected region is dropped. A phrase of which none is left is no longer
    known (null): an empty list would say that it is absent from the image.
    """
    regions, rejects, kept = _split(entry, image, box_frame)
    place = {old: new for new, old in enumerate(kept)}
    turned = entry.model_copy(
        update={
            "width": image.width,
            "height": image.height,
            "box_unit": "pixel",
            "regions": None if entry.regions is None else regions,
            "phrases": [_follow(phrase, place) for phrase in entry.phrases],
            "answers": _answers_left(entry, place),
            "examples": _examples_left(entry, place),
        }
    )
    return turned, rejects


def stored_frame(entry: CorpusImage, image: DecodedImage, box_frame: BoxFrame) -> bool:
    """True where the entry's boxes are in stored pixels and have to be turned."""
    if box_frame != "auto":
        return box_frame == "stored"
    declared = (entry.width, entry.height)
    return not (declared == (image.width, image.height) and declared != image.stored_wh)


def orient_boxes(boxes_stored_xyxy: Boxes, stored_wh: tuple[int, int], orientation: int) -> Boxes:
    """(N, 4) boxes of the stored pixels in the image after EXIF `orientation` (1 to 8) is applied.

    The eight cases of EXIF 2.32, tag 0x0112: 2 mirrored left-right, 3 turned by 180 degrees,
    4 mirrored top-bottom, 5 transposed, 6 turned clockwise, 7 transverse, 8 turned anticlockwise.
    """
    width, height = stored_wh
    left, top, right, bottom = boxes_stored_xyxy.astype(np.float64).T
    if orientation in (2, 3, 7, 8):
        left, right = width - right, width - left
    if orientation in (3, 4, 6, 7):
        top, bottom = height - bottom, height - top
    if orientation in _TURNED:
        left, top, right, bottom = top, left, bottom, right
    return np.stack([left, top, right, bottom], axis=1).astype(np.float32)


def _split(
    entry: CorpusImage, image: DecodedImage, box_frame: BoxFrame
) -> tuple[list[CorpusRegion], list[Reject], list[int]]:
    given = entry.regions or []
    boxes = as_boxes([region.box_xyxy for region in given])
    sound = are_finite(boxes)
    straight = have_area(boxes)
    stored = stored_frame(entry, image, box_frame)
    if entry.box_unit == "share":
        boxes = norm_to_xyxy(boxes, image.stored_wh if stored else (image.width, image.height))
    if stored:
        boxes = orient_boxes(boxes, image.stored_wh, image.orientation)
    boxes = clip_boxes(boxes, (image.width, image.height))
    whole = sound & have_area(boxes)
    regions, rejects, kept = [], [], []
    for index, region in enumerate(given):
        if whole[index]:
            box = tuple(boxes[index].tolist())
            regions.append(region.model_copy(update={"box_xyxy": box}))
            kept.append(index)
            continue
        reason = "no_area" if not straight[index] else "outside"
        rejects.append(_reject(entry, image, index, "not_finite" if not sound[index] else reason))
    return regions, rejects, kept


_WHY = {
    "not_finite": "is not finite",
    "no_area": "has no area",
    "outside": "has no area within the image",
}


def _reject(entry: CorpusImage, image: DecodedImage, index: int, reason: str) -> Reject:
    assert entry.regions is not None
    region = entry.regions[index]
    box = ", ".join(f"{value:g}" for value in region.box_xyxy)
    label = f" ({region.label})" if region.label else ""
    alone = entry.model_copy(update={"regions": [region], "phrases": [], "counts": []})
    return Reject(
        uri=entry.name,
        stage=RejectStage.BOX,
        reason=reason,
        message=f"box {index}{label} [{box}] {_WHY[reason]} of {image.width} x {image.height}",
        replayable=False,
        image_id=image.image_id,
        source=alone.model_dump_json(exclude_defaults=True),
    )


def _follow(phrase: CorpusPhrase, place: dict[int, int]) -> CorpusPhrase:
    named = phrase.region_indices
    if not named:
        return phrase
    left = [place[index] for index in named if index in place]
    return phrase.model_copy(update={"region_indices": left or None})


def _answers_left(entry: CorpusImage, place: dict[int, int]) -> list[CorpusAnswer]:
    of_image = [answer for answer in entry.answers if answer.region_index is None]
    moved = [
        answer.model_copy(update={"region_index": place[answer.region_index]})
        for answer in entry.answers
        if answer.region_index in place
    ]
    return [*of_image, *moved]


def _examples_left(entry: CorpusImage, place: dict[int, int]) -> list[CorpusExample]:
    return [
        CorpusExample(
            region_index=place[example.region_index],
            region_indices=[place[index] for index in example.region_indices if index in place],
        )
        for example in entry.examples
        if example.region_index in place
    ]
