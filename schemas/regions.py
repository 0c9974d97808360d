"""Regions: the boxes shown to the model, in that order.

Frame of every box: absolute pixels of the EXIF-oriented original image, x_min y_min x_max y_max.
"""

import struct
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from schemas.labels import Decision, Label, LabelKind, Source

Box = tuple[float, float, float, float]

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
    back has the id it was written with.
    """
    stored = struct.unpack("4f", struct.pack("4f", *box_xyxy))
    tenths = "-".join(str(round(value * 10)) for value in stored)
    return f"{image_id[:16]}/{tenths}"


class Region(BaseModel):
    """One box with everything that is known about it.

    `index` is the position in the list shown to the model, which `<regionI>` names within a
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
