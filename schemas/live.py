"""Live labelling: a question about one image and its answer, while somebody waits.

Boxes: absolute pixels of the EXIF-oriented image, x_min y_min x_max y_max. The image's bytes are sent only if
the labeller answers with the status `NEEDS_BYTES`.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.images import Answer, Count, Grounding
from schemas.labels import LabelKind
from schemas.rasters import RasterRecord
from schemas.regions import Box, Region

MOST_BOXES = 100
MOST_PHRASES = 100
NEEDS_BYTES = 409
LiveText = Annotated[str, Field(min_length=1, max_length=500)]


class LiveQuestion(BaseModel):
    """A question about an image. `boxes_xyxy` null: the bundled detector proposes boxes.

    `phrases`: for `ground`, `detect`, `count`. `question`: for `ask`; if it contains `{region}`, it is asked
    about every box.
    """

    model_config = ConfigDict(extra="forbid")

    kinds: list[LabelKind] = Field(default=[LabelKind.BRIEF_CAPTION], min_length=1, max_length=9)
    boxes_xyxy: list[Box] | None = Field(default=None, max_length=MOST_BOXES)
    phrases: list[LiveText] = Field(default=[], max_length=MOST_PHRASES)
    question: LiveText | None = None


class LiveRequest(LiveQuestion):
    """A question and its image: the id if the labeller still has the image, else also its bytes (base64).

    `raster`: how the values of a raster became colours when it was labelled.
    """

    image_id: str
    image_base64: str | None = None
    raster: RasterRecord | None = None


class LiveAnswer(BaseModel):
    """The model's answer. `warm`: the image with these boxes was already open in the engine."""

    model_config = ConfigDict(protected_namespaces=())

    image_id: str
    width: int
    height: int
    regions: list[Region]
    groundings: list[Grounding]
    counts: list[Count]
    answers: list[Answer]
    caption: str | None
    model: str
    model_sha256: str
    warm: bool
    seconds: float
