"""Labels, and the enums of their kind, decision and source.

A *label* is one statement about an image or a region, with its trust. It does not say where the statement
is stored: captions are in a region, groundings and counts in the row of the image.
"""

from collections.abc import Iterable
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

# The largest count that a dataset's column (int32) holds.
MOST_COUNT = 2**31 - 1


class LabelKind(StrEnum):
    """The kind of a question to the model, and of its answer."""

    BRIEF_CAPTION = "brief_caption"
    DETAILED_CAPTION = "detailed_caption"
    GROUNDED_CAPTION = "grounded_caption"
    DETECT = "detect"
    COUNT = "count"
    GROUND = "ground"
    OCR = "ocr"
    VISUAL_EXAMPLE = "visual_example"
    ASK = "ask"

    @property
    def per_region(self) -> bool:
        """True if one question is asked for every region."""
        return self in (LabelKind.BRIEF_CAPTION, LabelKind.DETAILED_CAPTION, LabelKind.OCR)


class Decision(StrEnum):
    """What happens to a label: `ACCEPT` < `AUDIT` (accepted, and drawn for review) < `REVIEW`."""

    ACCEPT = "accept"
    AUDIT = "audit"
    REVIEW = "review"


_STRICTNESS = {Decision.ACCEPT: 0, Decision.AUDIT: 1, Decision.REVIEW: 2}


def strictest(decisions: Iterable[Decision | None]) -> Decision | None:
    """The strictest of `decisions`; None if none of them was routed."""
    routed = [decision for decision in decisions if decision is not None]
    return max(routed, key=_STRICTNESS.__getitem__) if routed else None


class Source(StrEnum):
    """Who said it: the corpus, the model, or a person."""

    CORPUS = "corpus"
    MODEL = "model"
    HUMAN = "human"


class Signal(BaseModel):
    """One named, finite number that is evidence for or against a label."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    value: float


class Label(BaseModel):
    """One answer with its trust.

    `confidence`: 0 to 1, null until calibrated. `decision`: null until routed. `annotator`,
    `annotated_at`: who wrote or confirmed the label, and when (UTC, ISO 8601). `box_moved`: a person has
    moved the region's box since the label was given.
    """

    model_config = ConfigDict(extra="forbid")

    kind: LabelKind
    text: str
    confidence: float | None = None
    signals: list[Signal] = []
    decision: Decision | None = None
    reasons: list[str] = []
    source: Source = Source.MODEL
    annotator: str | None = None
    box_moved: bool = False
    annotated_at: str | None = None
