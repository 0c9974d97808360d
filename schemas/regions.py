"""Regions: the boxes shown to the model, in that order.

Frame of every box: absolute pixels of the EXIF-oriented original image, x_min y_min x_max y_max.
"""

import struct
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, Field

from schemas.labels import Decision, Label, LabelKind, Source

Box = tuple[float, float, float, float]
# Boxes are stored as float32.
MOST_FLOAT32 = 3.4e38

# The column of a region that holds the answer of each kind asked per region.
TEXT_COLUMNS = {
    LabelKind.BRIEF_CAPTION: "brief_caption",
    LabelKind.DETAILED_CAPTION: "detailed_caption",
    LabelKind.OCR: "text",
}


def make_region_id(image_id: str, box_xyxy: Sequence[float]) -> str:
    """The id of a box of an image: `{first 16 of image_id}/{x_min}-{y_min}-{x_max}-{y_max}`.

    Coordinates are whole tenths of a pixel, so that a different box of another run never has the same id,
    and an equal box always has. They are rounded from float32, as they are stored: a box that is read
    back has the id it was written with. If several regions of one image have equal boxes,
    `number_equal_ids` tells them apart.
    """
    stored = struct.unpack("4f", struct.pack("4f", *box_xyxy))
    tenths = "-".join(str(round(value * 10)) for value in stored)
    return f"{image_id[:16]}/{tenths}"


def number_equal_ids(region_ids: Iterable[str]) -> list[str]:
    """Ids made unique within an image: the second of equal ids gets `/2` behind it, the third `/3`."""
    listed = list(region_ids)
    taken = set(listed)
    last_number: dict[str, int] = {}
    numbered = []
    for region_id in listed:
        number = last_number.get(region_id, 0) + 1
        while number > 1 and numbered_id(region_id, number) in taken:
            number += 1
        last_number[region_id] = number
        numbered.append(numbered_id(region_id, number))
    return numbered


def numbered_id(region_id: str, number: int) -> str:
    """The id of the region that is number `number`, from 1, of those with the box of `region_id`."""
    return region_id if number == 1 else f"{region_id}/{number}"


def is_id_of_box(region_id: str, image_id: str, box_xyxy: Sequence[float]) -> bool:
    """Whether `region_id` is the id of this box, with or without the number that equal boxes have."""
    base = make_region_id(image_id, box_xyxy)
    number = region_id.removeprefix(f"{base}/")
    return region_id == base or (number != region_id and number.isdecimal() and int(number) > 1)


class MaskRle(BaseModel):
    """A thing's pixels as COCO's compressed run lengths. `size`: height and width of the whole image."""

    model_config = ConfigDict(extra="forbid")

    size: list[int] = Field(min_length=2, max_length=2)
    counts: str


class Region(BaseModel):
    """One box with everything that is known about it.

    `source_label`: what the source of the box calls it; `corpus_label` and `detector_label` tell whose name
    it is. `mask_rle`: the thing's pixels in the EXIF-oriented image. `track_id`: the thing in a video that
    the box shows. `index` is the position in the list shown to the model, which `<regionI>` names within a
    chunk of at most 100; `objectness` (0 to 1) is the proposer's score, null for given boxes.
    """

    model_config = ConfigDict(extra="forbid")

    region_id: str
    index: int
    box_xyxy: Box
    objectness: float | None = None
    box_source: Source
    source_label: str | None = None
    source_caption: str | None = None
    brief_caption: str | None = None
    detailed_caption: str | None = None
    text: str | None = None
    decision: Decision | None = None
    labels: list[Label] = []
    mask_rle: MaskRle | None = None
    track_id: str | None = None

    @property
    def corpus_label(self) -> str | None:
        """The corpus' class of the box; None for a detector's name, which is no more than a guess."""
        return None if self.box_source is Source.MODEL else self.source_label

    @property
    def detector_label(self) -> str | None:
        """The detector's name of its box."""
        return self.source_label if self.box_source is Source.MODEL else None
