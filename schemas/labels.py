"""Labels, and the enums of their kind, decision and source.

A *label* is one statement about an image or a region, with its trust. It does not say where the statement
is stored: captions are in a region, groundings and counts in the row of the image.
"""

from collections.abc import Iterable
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

# The largest count that a dataset's column (int32) holds.
MOST_COUNT = 2**31 - 1
# The signal of a label of which a second model gave no answer about a region.
OPINION_REFUSED = "second_opinion_refused"


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

    @property
    def names_regions(self) -> bool:
        """True if a phrase describes in words the regions that it points at; an example does not."""
        return self in (LabelKind.DETECT, LabelKind.GROUND, LabelKind.GROUNDED_CAPTION, LabelKind.COUNT)


class Decision(StrEnum):
    """What happens to a label: `ACCEPT` < `AUDIT` < `UNREVIEWED` < `REVIEW`.

    `AUDIT`: drawn at random for people, who measure the error of the labels that they do not see; accepted
    if it has a confidence. `UNREVIEWED`: no calibration stands behind the label, and no person is asked.
    """

    ACCEPT = "accept"
    AUDIT = "audit"
    UNREVIEWED = "unreviewed"
    REVIEW = "review"


_STRICTNESS = {decision: place for place, decision in enumerate(Decision)}


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
    `annotated_at`: who wrote or confirmed the label, and when (UTC, ISO 8601). `box_moved`: people have
    moved, deleted or added boxes that the label is about since it was given.
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

    @property
    def is_accepted(self) -> bool:
        """True if a person wrote or confirmed the label, or a calibrated routing accepted it.

        Never if boxes that it is about were changed since.
        """
        if self.box_moved:
            return False
        if self.source is Source.HUMAN or self.annotator is not None:
            return True
        return self.decision in (Decision.ACCEPT, Decision.AUDIT) and self.confidence is not None

    @property
    def is_unreviewed(self) -> bool:
        """True if the label was routed, no person is to decide it, and no calibration stands behind it.

        Older versions of routing wrote `ACCEPT` for such labels.
        """
        routed = self.decision in (Decision.ACCEPT, Decision.AUDIT, Decision.UNREVIEWED)
        return routed and not self.is_accepted
