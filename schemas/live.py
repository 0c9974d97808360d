"""Live labelling: a question about an image, asked at once, and its answer.

Boxes: absolute pixels of the EXIF-oriented image, x_min y_min x_max y_max. The image's bytes travel the
first time only: `NOT_HELD` is the answer where they are needed once more.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.images import Answer, Count, Grounding
from schemas.labels import LabelKind
from schemas.regions import Box, Region

MOST_BOXES = 100
MOST_PHRASES = 100
NOT_HELD = 409
LiveText = Annotated[str, Field(min_length=1, max_length=500)]


class LiveQuestion(BaseModel):
    """What is asked. `boxes_xyxy` null: the bundled detector proposes them.

    `phrases`: for `ground`, `detect`, `count`. `question`: for `ask`, of every box where `{region}` is in it.
    """

    model_config = ConfigDict(extra="forbid")

    kinds: list[LabelKind] = Field(default=[LabelKind.BRIEF_CAPTION], min_length=1, max_length=9)
    boxes_xyxy: list[Box] | None = Field(default=None, max_length=MOST_BOXES)
    phrases: list[LiveText] = Field(default=[], max_length=MOST_PHRASES)
    question: LiveText | None = None


class LiveRequest(LiveQuestion):
    """A question and its image: by its id where the labeller holds it, else with its bytes (base64)."""

    image_id: str
    image_base64: str | None = None


class LiveAnswer(BaseModel):
    """What the model says. `warm`: the image and these boxes were open already."""

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
