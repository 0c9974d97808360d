"""The settings of a labelling run: one model for the command line, a TOML file and a job's JSON."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from schemas.labels import LabelKind

DEFAULT_LABELS = [LabelKind.BRIEF_CAPTION, LabelKind.GROUNDED_CAPTION]


def _split_commas(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _none_is_empty(value: object) -> object:
    return [] if value == "none" else _split_commas(value)


class SecondQuestion(StrEnum):
    """What is asked about a label that looks unsure: does its caption find its region again, is its
    phrase in the image at all, how likely is its caption without sight of its region."""

    ASK_BACK = "ask_back"
    ABSENCE = "absence"
    BLIND = "blind"


Words = Annotated[list[str], BeforeValidator(_split_commas)]
Actors = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
Kinds = Annotated[list[LabelKind], BeforeValidator(_split_commas)]
SecondQuestions = Annotated[list[SecondQuestion], BeforeValidator(_none_is_empty)]


class RunConfig(BaseModel):
    """Every setting of `fo1 label`. Unknown keys are refused; units are in the names."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    corpus: str
    out: str
    name: str | None = None
    model: str = "fo1-tiny"
    proposals: str = "auto"
    labels: Kinds = Field(default=DEFAULT_LABELS, min_length=1)
    vocabulary: Words = []
    phrases: str | None = None
    question: str | None = None
    second_questions: SecondQuestions = [SecondQuestion.ASK_BACK, SecondQuestion.ABSENCE]
    unsure_below: float = Field(default=0.95, ge=0, le=1)

    calibration: str | None = None
    max_error: float | None = Field(default=None, gt=0, lt=1)
    confidence_level: float = Field(default=0.9, gt=0, lt=1)
    review_budget: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    audit: float = Field(default=0.0, ge=0, le=1)
    seed: int = 0

    address: str | None = None
    actors: Actors = Field(default="1", pattern=r"^[1-9]\d*(:[1-9]\d*)?$")
    cpus_per_actor: float = Field(default=1.0, gt=0)
    gpus_per_actor: float | None = Field(default=None, ge=0)
    object_store_bytes: int = Field(default=200 * 2**20, ge=80 * 2**20)
    shard_size: int = Field(default=32, ge=1, le=10_000)
    max_tries: int = Field(default=3, ge=1)
    placement_timeout_s: float = Field(default=300.0, ge=0)

    limit: int | None = Field(default=None, ge=1)
    frame_every_s: float = Field(default=1.0, ge=0.001)
    embed_images: bool = False
    box_frame: Literal["auto", "stored", "oriented"] = "auto"
    parent: str | None = None
    replay_rejects: bool = False
    strict: bool = False
    force: bool = False

    score_floor: float | None = Field(default=None, ge=0, le=1)
    nms_iou: float | None = Field(default=None, gt=0, le=1)
    max_proposals: int = Field(default=100, ge=1, le=100)

    dtype: Literal["float32", "bfloat16"] | None = None
    device: str | None = None
    batch_images: int = Field(default=8, ge=1)
    engine_bytes: int | None = Field(default=None, ge=2**20)
    max_new_tokens: int = Field(default=256, ge=1, le=4096)

    max_pixels: int = Field(default=100_000_000, ge=1)
    max_bytes: int = Field(default=100 * 2**20, ge=1)
    download_timeout_s: float = Field(default=30.0, gt=0)
    validation_share: float = Field(default=0.05, ge=0, le=1)
    test_share: float = Field(default=0.05, ge=0, le=1)

    @model_validator(mode="after")
    def _needs(self) -> "RunConfig":
        kinds = set(self.labels)
        if kinds & {LabelKind.DETECT, LabelKind.COUNT} and not self.vocabulary:
            raise ValueError("labels detect and count need a vocabulary (--vocabulary cat,dog)")
        if LabelKind.ASK in kinds and not self.question:
            raise ValueError("label ask needs a question (--question)")
        if self.max_error is not None and self.calibration is None:
            raise ValueError("max_error needs a calibration (--calibration, made by fo1 calibrate)")
        if self.validation_share + self.test_share > 1:
            raise ValueError("validation_share and test_share add up to more than 1")
        return self

    @property
    def actor_range(self) -> tuple[int, int]:
        """The least and the most labelling actors."""
        low, _, high = self.actors.partition(":")
        return int(low), int(high or low)


# What can change how fast a run is, where it goes or what it reports, but never a row.
NOT_IN_FINGERPRINT = frozenset(
    {
        "out", "address", "actors", "cpus_per_actor", "gpus_per_actor", "object_store_bytes", "max_tries",
        "placement_timeout_s",
        "strict", "force", "replay_rejects", "batch_images", "engine_bytes", "device", "download_timeout_s",
    }
)  # fmt: skip
