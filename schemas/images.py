"""One labelled image: the row of a dataset, and the row of its rejects."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from schemas.labels import Decision, Label, LabelKind, Source
from schemas.regions import Region


class Grounding(BaseModel):
    """A phrase and the regions it names; no regions: the phrase was looked for and is absent."""

    model_config = ConfigDict(extra="forbid")

    phrase: str
    kind: LabelKind
    region_ids: list[str]
    label: Label


class Count(BaseModel):
    """How many instances of `phrase` there are, and which regions they are."""

    model_config = ConfigDict(extra="forbid")

    phrase: str
    count: int
    region_ids: list[str]
    label: Label


class Answer(BaseModel):
    """The answer to a free question; `region_id` is null if it was asked of the whole image."""

    model_config = ConfigDict(extra="forbid")

    question: str
    region_id: str | None = None
    answer: str
    reasoning: str | None = None
    label: Label


# Inside the class below the name `bytes` is the field.
_Bytes = bytes


class EncodedImage(BaseModel):
    """The form of Hugging Face's `Image`: encoded bytes if embedded, else a path or URI."""

    model_config = ConfigDict(extra="forbid")

    bytes: _Bytes | None = None
    path: str | None = None


class Provenance(BaseModel):
    """The run, model and prompts that made a row. Not part of a row's identity."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    job_id: str | None = None
    model: str | None = None
    model_sha256: str | None = None
    proposer: str | None = None
    prompts_version: str | None = None
    licence: str | None = None
    labelled_at: str | None = None


class ImageRow(BaseModel):
    """One row of a dataset: one image.

    `width`, `height`: the EXIF-oriented frame of every box, in pixels. `caption_label`: what a person
    said of `caption`, null if nobody has. `source_caption`: the corpus' caption if `caption` is a
    model's.
    """

    model_config = ConfigDict(extra="forbid")

    image_id: str
    uri: str
    uris: list[str]
    corpus: str
    split: str
    source_id: str | None = None
    meta: str | None = None
    image: EncodedImage
    width: int
    height: int
    orientation: int = 1
    regions: list[Region] = []
    groundings: list[Grounding] = []
    counts: list[Count] = []
    answers: list[Answer] = []
    caption: str | None = None
    decision: Decision | None = None
    provenance: Provenance = Provenance()
    caption_label: Label | None = None
    source_caption: str | None = None

    def all_labels(self) -> list[Label]:
        """The labels of regions, groundings, counts and answers; the label of the caption is none of them."""
        of_regions = [label for region in self.regions for label in region.labels]
        parts: list[Grounding | Count | Answer] = [*self.groundings, *self.counts, *self.answers]
        return of_regions + [part.label for part in parts]

    def answered_labels(self) -> list[Label]:
        """The labels that a model or a person gave: all but those that came with the corpus."""
        return [label for label in self.all_labels() if label.source is not Source.CORPUS]


class RejectStage(StrEnum):
    """The stage at which an input was rejected."""

    LISTING = "listing"
    FETCH = "fetch"
    DECODE = "decode"
    BOX = "box"
    PROPOSE = "propose"
    LABEL = "label"
    WORKER = "worker"


# What a corpus itself says is not to be read, such as boxes that are not scored: no fault (`--strict`).
IGNORED = "ignored"


class Reject(BaseModel):
    """One input, or one box of it, that gave no label, and why.

    `replayable`: whether trying again can help (after a lost connection it can, with a broken file not);
    `source` is the corpus entry as JSON, so that a replay needs no second listing.
    """

    model_config = ConfigDict(extra="forbid")

    uri: str
    stage: RejectStage
    reason: str
    message: str
    replayable: bool
    image_id: str | None = None
    source: str | None = None
