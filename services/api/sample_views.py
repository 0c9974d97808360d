"""What is answered of a sample: an image with its regions, labels, phrases, counts and answers.

Lists answer the stored documents as they are (`services.datasets.documents`); these models describe them.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.labels import Decision, LabelKind, Source

BoxXyxy = Annotated[list[float], Field(min_length=4, max_length=4)]


class SampleLabel(BaseModel):
    """An answer of a corpus, a model or a person, with its trust.

    `confidence`: 0 to 1; null until calibrated. `decision`: null until routed. `reasons`: why it was decided
    so. `annotator`: who wrote or confirmed it.
    """

    kind: LabelKind | None
    text: str | None
    confidence: float | None
    decision: Decision | None
    reasons: list[str] | None
    source: Source | None
    annotator: str | None


class SampleRegion(BaseModel):
    """A box: x_min, y_min, x_max, y_max, and what is known about it.

    `index`: its place in the list shown to the model. `objectness`: 0 to 1, null for given boxes.
    `source_label`: the corpus' class of the box, or the detector's name of it if `box_source` is `model`.
    `source_caption`: of the corpus. `text`: what is written in it.
    """

    region_id: str
    index: int
    box_xyxy: BoxXyxy
    objectness: float | None
    box_source: Source | None
    source_label: str | None
    source_caption: str | None
    brief_caption: str | None
    detailed_caption: str | None
    text: str | None
    decision: Decision | None
    labels: list[SampleLabel]


class SampleGrounding(BaseModel):
    """A phrase and the ids of the regions that it names; none: it was looked for and is absent."""

    phrase: str
    kind: LabelKind
    region_ids: list[str]
    label: SampleLabel


class SampleCount(BaseModel):
    """How many instances of a phrase there are, and the ids of their regions."""

    phrase: str
    count: int
    region_ids: list[str]
    label: SampleLabel


class SampleAnswer(BaseModel):
    """The answer to a question; `region_id` is null if it was asked of the whole image."""

    question: str
    region_id: str | None
    answer: str
    reasoning: str | None
    label: SampleLabel


class SampleView(BaseModel):
    """An image with its labels, boxes in absolute pixels of the EXIF-oriented image.

    `uris`: every address it was found at. `orientation`: of EXIF, 1 to 8. `confidence`: the lowest of its
    labels. `decision`: the strictest of its parts. `image_url`: needs no key, expires and can be revoked.
    """

    model_config = ConfigDict(extra="allow")

    image_url: str
    position: int
    image_id: str
    uri: str
    uris: list[str] | None = None
    corpus: str | None = None
    split: str | None = None
    source_id: str | None = None
    width: int
    height: int
    orientation: int | None = None
    caption: str | None
    decision: Decision | None
    confidence: float | None
    regions: list[SampleRegion]
    groundings: list[SampleGrounding]
    counts: list[SampleCount]
    answers: list[SampleAnswer]
