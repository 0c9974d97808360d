"""What `dataset publish --only accepted` keeps of one row: for tests of the columns."""

from fo1_data.dataset.versions.publish import kept_part, label_filter
from schemas.images import ImageRow
from schemas.labels import LabelKind


def accepted_part(
    row: ImageRow, model_captions: bool = False, include_unreviewed: bool = False
) -> ImageRow | None:
    """The row with its accepted labels only; None if it has none."""
    kept = kept_part(row, label_filter(True, include_unreviewed))
    is_grounded = any(part.kind is LabelKind.GROUNDED_CAPTION for part in row.groundings)
    if model_captions and row.caption_label is None and not is_grounded:
        kept = kept.model_copy(update={"caption": None})
    says_something = bool(kept.all_labels()) or bool(kept.caption and kept.caption_label)
    return kept if says_something else None
