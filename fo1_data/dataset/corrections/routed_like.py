"""A row as it was before its corrections, with the decisions of the corrected row.

Routing a corrected dataset changes confidences, decisions and reasons, and no label text. They are carried
back to the row as it was before its corrections, because the next merge starts from that row.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from fo1_data.dataset.corrections.region_names import RegionNames
from fo1_data.dataset.human_labels import BOXES_CHANGED, is_locked
from fo1_data.dataset.label_parts import label_parts
from schemas.corrections import Correction
from schemas.images import Answer, ImageRow
from schemas.labels import Label, LabelKind

# The kind of a label, its region by its first name, its phrase or question, its text, and its number among
# the labels in which all of these are equal.
_Key = tuple[LabelKind, str | None, str, str, int]


def routed_like(original: ImageRow, row: ImageRow, corrections: Sequence[Correction]) -> ImageRow:
    """`original` with the decisions that `row` (`original` with `corrections`) has on the same labels."""
    names = RegionNames(original, corrections)
    later_labels = dict(_open_labels(row, names))
    routed = original.model_copy(deep=True)
    for key, label in _open_labels(routed, names):
        later = later_labels.get(key)
        if later is not None:
            # A stale label was not routed: without the edits it waits in review for the next routing.
            label.confidence, label.decision = later.confidence, later.decision
            label.reasons = [reason for reason in later.reasons if reason not in BOXES_CHANGED]
    return routed


def _open_labels(row: ImageRow, names: RegionNames) -> Iterator[tuple[_Key, Label]]:
    """The labels of a row that no person wrote or confirmed, by key.

    Labels of people are numbered too, so that a confirmed label does not shift the numbers of others.
    """
    seen: Counter[tuple[str | None, ...]] = Counter()
    for part in label_parts(row):
        subject, text = part.subject, part.label.text
        region = part.region.region_id if part.region is not None else None
        if isinstance(part.part, Answer):
            region = part.part.region_id
        elif part.kind is LabelKind.VISUAL_EXAMPLE:
            # The phrase of an example is its region's id, which a move changes.
            region, subject = subject, ""
        elif part.kind is LabelKind.COUNT:
            # A count goes down with a region that a person deletes.
            text = ""
        alike = (part.kind, names.name(region), subject, text)
        if not is_locked(part.label):
            yield (*alike, seen[alike]), part.label
        seen[alike] += 1
