"""What a review costs people: which labels and images a routing sends to them, and the time for a label.

An image is pushed to people if one of its labels is for people. By default they then see and judge all its
labels; with `fo1 review push --asked-only` only those that are for people.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fo1_data.confidence.routing import BEYOND_BUDGET
from fo1_data.dataset.human_labels import is_locked
from fo1_data.dataset.label_columns import LabelColumns
from fo1_data.plurals import counted
from schemas.images import ImageRow
from schemas.labels import Decision, Label

# Seconds to open a region with its box on the image, read one caption and decide.
REVIEW_S_PER_LABEL = 5.0


def is_for_people(label: Label) -> bool:
    """True if routing sends a label to people: within the review budget, or drawn for the audit."""
    if label.decision is Decision.AUDIT:
        return True
    return label.decision is Decision.REVIEW and BEYOND_BUDGET not in label.reasons


@dataclass
class ReviewEffort:
    """What a push of a routed dataset shows to people, row by row.

    `images`: pushed images; `labels`: all labels in them; `asked_labels`: those of them that are for people.
    `saved_labels`: accepted labels in the other images; `saved_if_asked_only`: accepted ones that are not for
    people. What a person wrote or confirmed is in neither of the two.
    """

    total_images: int = 0
    images: int = 0
    labels: int = 0
    asked_labels: int = 0
    saved_labels: int = 0
    saved_if_asked_only: int = 0

    def add(self, row: ImageRow) -> None:
        """Add a routed row."""
        answered = row.answered_labels()
        num_asked = sum(map(is_for_people, answered))
        num_saved = sum(_is_saved(label) for label in answered)
        self.total_images += 1
        self.asked_labels += num_asked
        self.saved_if_asked_only += num_saved
        if num_asked:
            self.images += 1
            self.labels += len(answered)
        else:
            self.saved_labels += num_saved

    def add_all(self, labels: LabelColumns) -> None:
        """Add the labels of all rows of a batch, which are routed."""
        drawn, in_review = labels.is_decided(Decision.AUDIT), labels.is_decided(Decision.REVIEW)
        asked = drawn | (in_review & ~labels.has_reason(BEYOND_BUDGET))
        saved = labels.is_accepted & ~labels.is_locked & ~asked
        is_pushed = labels.num_by_row(asked) > 0
        self.total_images += labels.num_rows
        self.asked_labels += int(asked.sum())
        self.saved_if_asked_only += int(saved.sum())
        self.images += int(is_pushed.sum())
        self.labels += int(labels.num_by_row()[is_pushed].sum())
        self.saved_labels += int(labels.num_by_row(saved)[~is_pushed].sum())

    def counts(self) -> dict[str, int]:
        """What is pushed, as the manifest has it."""
        names = ("total_images", "images", "labels", "asked_labels")
        return {name: getattr(self, name) for name in names}


def describe_effort(counts: Mapping[str, int]) -> str:
    """The effort in words. `counts`: as of `ReviewEffort.counts`."""
    images, labels, asked = counts["images"], counts["labels"], counts["asked_labels"]
    text = f"{images:,} of {counted(counts['total_images'], 'image')} with {counted(labels, 'label')}"
    return text if asked == labels else f"{text}; {asked:,} with fo1 review push --asked-only"


def _is_saved(label: Label) -> bool:
    return label.is_accepted and not is_locked(label) and not is_for_people(label)
