"""Regions: boxes that the model was shown, in the order it was shown them.

Frame of every box: absolute pixels of the EXIF-oriented original image, x_min y_min x_max y_max.
"""

import struct
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from schemas.labels import Decision, Label, LabelKind, Source

Box = tuple[float, float, float, float]

# Where the answer of each kind that is about a single region stands in it.
TEXT_COLUMNS = {
    LabelKind.BRIEF_CAPTION: "brief_caption",
    LabelKind.DETAILED_CAPTION: "detailed_caption",
    LabelKind.OCR: "text",
}


def make_region_id(image_id: str, box_xyxy: Sequence[float]) -> str:
    """The id of a box of an image: `{first 16 of image_id}/{x_min}-{y_min}-{x_max}-{y_max}`.

    Coordinates are whole tenths of a pixel, so that another run's other box never takes the id,
    and the same box always does. They are taken as float32, as they are stored: a box read back
    has the id it was written with.
    """
    stored = struct.unpack("4f", struct.pack("4f", *box_xyxy))
    tenths = "-".join(str(round(value * 10)) for value in stored)
    return f"{image_id[:16]}/{tenths}"


class Region(BaseModel):
    """One box with everything said about it.

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
