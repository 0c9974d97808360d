"""The frame of a corpus' boxes: from stored pixels to the EXIF-oriented image.

A corpus has boxes in the pixels as stored or in the oriented image. With `auto` the declared width and height
decide. If they cannot (none declared, a square image, an image that is only mirrored or upside down), shares
of the size (YOLO) are of the oriented image, all other boxes are in stored pixels, and the frame is a guess:
`meta` says so. Boxes of another declared size are scaled if the aspect ratio agrees; if it does not, no box
of the image can be used. In and out: absolute pixels, x_min y_min x_max y_max.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fo1_data.boxes import Boxes, are_finite, as_boxes, clip_boxes, have_area, norm_to_xyxy
from fo1_data.corpus.images import DecodedImage, ImageFrame
from fo1_data.corpus.region_meta import region_metas, with_region_metas
from fo1_data.plurals import counted
from schemas.corpus import CorpusAnswer, CorpusExample, CorpusImage, CorpusPhrase, CorpusRegion
from schemas.images import Reject, RejectStage

BoxFrame = Literal["auto", "stored", "oriented"]
OTHER_SIZE = "other_size"
# The key of `meta` that says that the frame of the boxes is a guess, and which.
FRAME_GUESS = "box_frame_guess"
_AXES_SWAPPED = (5, 6, 7, 8)
# A resized image differs from its exact size by rounding: by less than this share, or by a pixel.
_SAME_ASPECT = 0.005


def oriented_entry(
    entry: CorpusImage, image: DecodedImage | ImageFrame, box_frame: BoxFrame
) -> tuple[CorpusImage, list[Reject]]:
    """The entry in the oriented frame, and a reject for each unusable box.

    Size, regions (clipped to the image), and labels with the indices of the remaining regions. A box is
    unusable if it is not finite, is inverted, or has no area within the image. The regions of a phrase that
    loses all of them become None (not known): an empty list would mean that the phrase is absent. If the
    declared size does not fit the image, there is one reject `other_size` and no region is known.
    """
    frame = _frame_of(entry, image, box_frame)
    meta = {**(entry.meta or {}), **image.meta} if image.meta else entry.meta
    regions: list[CorpusRegion] | None = None
    rejects: list[Reject] = []
    kept: list[int] = []
    if frame is None:
        rejects = [_other_size(entry, image)]
    else:
        regions, rejects, kept = _orient_regions(entry, image, frame)
        if frame.is_guess and entry.regions:
            meta = {**(meta or {}), FRAME_GUESS: "stored" if frame.is_stored else "oriented"}
    meta = _remap_meta(meta, len(entry.regions or []), kept)
    new_index = {old: new for new, old in enumerate(kept)}
    oriented = entry.model_copy(
        update={
            "width": image.width,
            "height": image.height,
            "box_unit": "pixel",
            "regions": regions if entry.regions is not None else None,
            "phrases": [_remap_phrase(phrase, new_index) for phrase in entry.phrases],
            "caption_phrases": [_remap_phrase(phrase, new_index) for phrase in entry.caption_phrases],
            "answers": _remap_answers(entry, new_index),
            "examples": _remap_examples(entry, new_index),
            "meta": meta,
        }
    )
    return oriented, rejects


@dataclass(frozen=True)
class _Frame:
    """The frame of an entry's boxes, and what brings them to its size in pixels (across, down)."""

    is_stored: bool
    is_guess: bool = False
    scale: tuple[float, float] = (1.0, 1.0)


def _frame_of(entry: CorpusImage, image: DecodedImage | ImageFrame, box_frame: BoxFrame) -> _Frame | None:
    """The frame of the entry's boxes; None if the declared size is of no frame of the image."""
    stored_wh, oriented_wh = image.stored_wh, (image.width, image.height)
    differ = stored_wh != oriented_wh
    shares = entry.box_unit == "share"
    default = _Frame(
        is_stored=box_frame == "stored" or (box_frame == "auto" and not shares),
        is_guess=box_frame == "auto" and image.orientation != 1,
    )
    if not entry.width or not entry.height:  # a size of 0 says nothing
        return default
    declared = (entry.width, entry.height)
    if box_frame != "auto" and (shares or declared in (stored_wh, oriented_wh)):
        return default
    frames = {"stored": (stored_wh, True), "oriented": (oriented_wh, False)}
    candidates = [frames[box_frame]] if box_frame != "auto" else list(frames.values())
    exact = [is_stored for wh, is_stored in candidates if wh == declared]
    if exact:
        return _Frame(exact[0]) if differ else default
    if shares:
        return default
    if not entry.regions:
        return default
    for wh, is_stored in candidates:
        scale = (wh[0] / declared[0], wh[1] / declared[1])
        if _is_same_aspect(declared, wh):
            is_known = box_frame != "auto" or (differ and wh[0] != wh[1]) or image.orientation == 1
            return _Frame(is_stored, not is_known, scale)
    return None


def _is_same_aspect(one_wh: tuple[int, int], other_wh: tuple[int, int]) -> bool:
    (width, height), (other_width, other_height) = one_wh, other_wh
    across, down = other_width / width, other_height / height
    if abs(across - down) <= _SAME_ASPECT * max(across, down):
        return True
    # Small pictures: a side rounded to whole pixels.
    return abs(width * down - other_width) <= 1 or abs(height * across - other_height) <= 1


def _other_size(entry: CorpusImage, image: DecodedImage | ImageFrame) -> Reject:
    stored_wh, oriented_wh = image.stored_wh, (image.width, image.height)
    actual = f"{stored_wh[0]} x {stored_wh[1]}"
    if stored_wh != oriented_wh:
        actual += f" (shown {oriented_wh[0]} x {oriented_wh[1]})"
    boxes = counted(len(entry.regions or []), "box", "boxes")
    return Reject(
        uri=entry.name,
        stage=RejectStage.BOX,
        reason=OTHER_SIZE,
        message=f"{boxes}: declared {entry.width} x {entry.height}, is {actual}",
        replayable=False,
        image_id=image.image_id,
        source=entry.model_dump_json(exclude_defaults=True),
    )


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
    entry: CorpusImage, image: DecodedImage | ImageFrame, frame: _Frame
) -> tuple[list[CorpusRegion], list[Reject], list[int]]:
    """The usable regions, a reject for each other one, and the indices of the usable ones."""
    boxes = as_boxes([region.box_xyxy for region in entry.regions or []])
    is_finite, has_area = are_finite(boxes), have_area(boxes)
    if entry.box_unit == "share":
        boxes = norm_to_xyxy(boxes, image.stored_wh if frame.is_stored else (image.width, image.height))
    elif frame.scale != (1.0, 1.0):
        boxes = as_boxes(boxes * np.array([*frame.scale, *frame.scale]))
    if frame.is_stored:
        boxes = orient_boxes(boxes, image.stored_wh, image.orientation)
    boxes = clip_boxes(boxes, (image.width, image.height))
    is_usable = is_finite & have_area(boxes)
    regions, rejects, kept = [], [], []
    corners = boxes.tolist()
    for index, region in enumerate(entry.regions or []):
        if is_usable[index]:
            box = tuple(corners[index])
            regions.append(region if box == region.box_xyxy else region.model_copy(update={"box_xyxy": box}))
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


def _reject(entry: CorpusImage, image: DecodedImage | ImageFrame, index: int, reason: str) -> Reject:
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


def _remap_meta(meta: dict[str, Any] | None, num_regions: int, kept: list[int]) -> dict[str, Any] | None:
    """`region_meta`, which has a dict for each region, for the regions that are kept."""
    of_regions = region_metas(meta, num_regions)
    return with_region_metas(meta, [of_regions[index] for index in kept]) if of_regions else meta


def _remap_phrase(phrase: CorpusPhrase, new_index: dict[int, int]) -> CorpusPhrase:
    if not phrase.region_indices:
        return phrase
    indices = [new_index[index] for index in phrase.region_indices if index in new_index]
    if indices == phrase.region_indices:
        return phrase
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
