"""Reviews as the service's API and `fo1 review` see them: their options and their states."""

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.corrections import Lane
from schemas.labels import Decision, LabelKind, Source


class ReviewState(StrEnum):
    """State of a review.

    `PREPARING`: its items are being written. `PUSHING`: they are being inserted into Label Studio. `OPEN`:
    all are there. `FAILED`: nothing happens until the review is pushed again.
    """

    PREPARING = "preparing"
    PUSHING = "pushing"
    OPEN = "open"
    FAILED = "failed"


class ItemState(StrEnum):
    """State of an item in the outbox.

    `SENDING`: a request may be under way. `REFUSED`: by Label Studio; the item's error says why. `GONE`: its
    LsTask was deleted in Label Studio.
    """

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    REFUSED = "refused"
    GONE = "gone"


class AnnotationState(StrEnum):
    """Latest state of one person's annotation.

    `CANCELLED`: skipped. `UNREADABLE`: it cannot be parsed; its error says why. `SET_ASIDE`: it may say what
    nobody meant, so it says nothing until somebody has looked at it; an `AsideReason` and its error say why.
    """

    SUBMITTED = "submitted"
    CANCELLED = "cancelled"
    DELETED = "deleted"
    UNREADABLE = "unreadable"
    SET_ASIDE = "set_aside"


class AsideReason(StrEnum):
    """Why an annotation is set aside.

    `NOT_BEGUN`: it was not begun with what was pushed, so what it lacks was not deleted by anybody.
    `OTHER_FIELDS`: fields of the project that hold a part of what was pushed were removed or changed.
    `PARTLY_READ`: a part of it cannot be read. `IN_BULK`: it was made of the prediction without an
    annotator's time, as "Create annotations from predictions" does. `UNREADABLE`: it cannot be parsed.
    """

    NOT_BEGUN = "not_begun"
    OTHER_FIELDS = "other_fields"
    PARTLY_READ = "partly_read"
    IN_BULK = "in_bulk"
    UNREADABLE = "unreadable"


class ReviewSelection(BaseModel):
    """A selection of images, by the filters of a dataset's samples. A field that is null selects all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = Field(
        default=None, max_length=500, description="Words that all occur somewhere in the sample."
    )
    label: str | None = Field(
        default=None, max_length=500, description="A whole class, caption or phrase; case is ignored."
    )
    kind: LabelKind | None = Field(default=None, description="Samples with a label of this kind.")
    source: Source | None = Field(default=None, description="Samples with a label of this source.")
    split: str | None = Field(default=None, max_length=100, description="Split of the sample.")
    decision: Decision | None = Field(default=None, description="Decision of the sample.")
    min_confidence: float | None = Field(
        default=None, ge=0, le=1, description="Lower bound of the sample's lowest confidence."
    )
    max_confidence: float | None = Field(
        default=None, ge=0, le=1, description="Upper bound of the sample's lowest confidence."
    )
    images: list[Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$")]] | None = Field(
        default=None,
        max_length=1000,
        description="Of these, only images whose id begins with one of these texts of 16 or more characters.",
    )


# Options that a further push of the same review takes from it if they are null.
LEFT_OPEN = ("blind", "live", "honeypots", "honeypot_gold", "hold_below")


class ReviewOptions(BaseModel):
    """Which images of a dataset people review, and what they see."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lanes: list[Lane] = Field(
        default=[Lane.REVIEW, Lane.AUDIT],
        min_length=1,
        max_length=2,
        description="Lanes of a routed dataset to push. An unrouted dataset is pushed whole, as `review`.",
    )
    limit: int | None = Field(
        default=None, ge=1, le=10_000_000, description="Push only this many of the most doubtful images."
    )
    annotators: int = Field(default=1, ge=1, le=100, description="How many people review each image.")
    blind: bool | None = Field(
        default=None,
        description="Show nobody reasons and scores, so that nobody can tell which images the audit drew. "
        "Cannot change after the first push. Null: as the review is, else false.",
    )
    live: bool | None = Field(
        default=None,
        description="The project asks the model while people annotate. Null: as the review is, else false.",
    )
    asked_only: bool = Field(
        default=False,
        description="Of a routed dataset, show all boxes, but only the answers that routing sent to people "
        "(within the review budget, or drawn for the audit). Annotations cover no others.",
    )
    honeypots: float | None = Field(
        default=None,
        ge=0,
        le=0.5,
        description="Share of the tasks that are honeypots: their answer is known, by `honeypot_gold` or by "
        "what people corrected in this dataset before, and reviewers cannot tell them apart. They measure "
        "reviewers and give no corrections. Makes the review blind. Null: as the review is, else none.",
    )
    honeypot_gold: str | None = Field(
        default=None,
        min_length=1,
        max_length=4000,
        description="A corpus with gold for honeypots. Null: as the review is, else corrections of people.",
    )
    hold_below: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Hold back the corrections of an annotator for a second reader once the 95 % interval of "
        "their accuracy on honeypots lies below this. Null: as the review is, else nobody's.",
    )

    tracks: bool = Field(
        default=False,
        description="Review the tracks of the dataset's videos instead of its images, in a project of their "
        "own. Not with `live`, `honeypots` or `only`.",
    )

    masks: bool = Field(
        default=False,
        description="Show regions that have a mask as the mask, to be painted over, in place of their box. "
        "Images that are reviewed in parts show boxes. Not with `tracks`.",
    )

    @model_validator(mode="after")
    def _tracks_stand_alone(self) -> Self:
        if self.tracks and (self.live or self.honeypots or self.masks or self.only is not None):
            raise ValueError(
                "a review of tracks cannot be live, have honeypots or masks, or be of a selection"
            )
        return self

    @model_validator(mode="after")
    def _honeypots_are_blind(self) -> Self:
        if self.honeypots and self.blind is False:
            raise ValueError("honeypots need a blind review")
        return self

    only: ReviewSelection | None = Field(
        default=None,
        description="Push only these images; one that is in no lane is pushed as `review`. The dataset must "
        "be indexed. Null: all images of the lanes.",
    )

    def stored(self) -> dict[str, Any]:
        """Return the options as JSON for the database, without those that nobody chose."""
        unset = {name for name in (*LEFT_OPEN, "only") if getattr(self, name) is None}
        unset |= {name for name in ("tracks", "masks") if not getattr(self, name)}
        return self.model_dump(mode="json", exclude=unset)
