"""An earlier form of a row with the decisions of a later one.

Routing a corrected dataset again changes confidences, decisions and their reasons, and nothing that is
said. So they are carried back to the row as it was before its corrections, from which the next merge starts.
"""

from collections.abc import Iterator, Sequence

from fo1_data.dataset.human_labels import STALE, is_locked
from fo1_data.dataset.region_names import RegionNames
from schemas.corrections import Correction
from schemas.images import ImageRow
from schemas.labels import Label, LabelKind

# The kind of a label, its region by its first name, its phrase or question, and what it says.
_Key = tuple[LabelKind, str | None, str, str]


def routed_like(original: ImageRow, row: ImageRow, corrections: Sequence[Correction]) -> ImageRow:
    """`original` with the decisions that `row`, made of it by `corrections`, has on the same labels."""
    names = RegionNames(original, corrections)
    now = dict(_open_labels(row, names))
    made = original.model_copy(deep=True)
    for key, label in _open_labels(made, names):
        later = now.get(key)
        if later is not None:
            label.confidence, label.decision = later.confidence, later.decision
            label.reasons = [one for one in later.reasons if one != STALE]
    return made


def _open_labels(row: ImageRow, names: RegionNames) -> Iterator[tuple[_Key, Label]]:
    """The labels of a row that no person has spoken of, each by what tells it from the others."""
    found: list[tuple[str | None, str, Label]] = [
        (names.name(region.region_id), "", label) for region in row.regions for label in region.labels
    ]
    found += [(names.name(part.phrase), part.phrase, part.label) for part in row.groundings]
    found += [(None, part.phrase, part.label) for part in row.counts]
    found += [(names.name(part.region_id), part.question, part.label) for part in row.answers]
    for region, subject, label in found:
        if not is_locked(label):
            # The phrase of an example is its region's id, which a move changes.
            yield (
                (label.kind, region, "" if label.kind is LabelKind.VISUAL_EXAMPLE else subject, label.text),
                label,
            )
