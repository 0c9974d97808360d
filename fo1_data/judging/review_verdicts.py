"""Which labels are right, by what people said of them in a review.

Only what was said counts: a verdict, or a change (a changed label was wrong, unless the change says the
same). A label that was shown and not spoken of is not judged, so a review must write a verdict of the
labels it leaves as they are. A label certifies where it was drawn for the audit: by its own decision, also
in an image that is reviewed for another label's sake, since leaving those images out would leave out the
harder ones. Of a dataset that was never routed, the audit lane certifies. Everything else that people look
at, what was routed to review and what stands beside it, is a selected sample, and may only train.
"""

from collections.abc import Iterable

from fo1_data.dataset.label_parts import LabelPart, label_parts
from fo1_data.judging.correctness import Judged
from fo1_data.judging.words import words_of
from schemas.corrections import Correction, CorrectionAction, Lane
from schemas.images import Count, ImageRow
from schemas.labels import Decision, Source


def judge_reviewed(rows: Iterable[ImageRow], corrections: Iterable[Correction]) -> list[Judged]:
    """Every label of a model in the reviewed images of `rows`, with the last thing that was said of it."""
    by_image: dict[str, list[Correction]] = {}
    for one in sorted(corrections, key=lambda one: one.order):
        by_image.setdefault(one.image_id, []).append(one)
    found = []
    for row in rows:
        said = by_image.get(row.image_id, [])
        if said:
            parts = label_parts(row)
            found += [_judge(part, said) for part in parts if part.label.source is Source.MODEL]
    return found


def _judge(part: LabelPart, corrections: list[Correction]) -> Judged:
    right, drawn = None, False
    for one in corrections:
        verdict = _says(one, part)
        if verdict is not None:
            right, drawn = verdict, _was_drawn(part, one)
    return Judged(part, right, drawn, eligible=part.label.decision is not Decision.REVIEW)


def _was_drawn(part: LabelPart, one: Correction) -> bool:
    decision = part.label.decision
    return decision is Decision.AUDIT or (decision is None and one.lane is Lane.AUDIT)


def _says(one: Correction, part: LabelPart) -> bool | None:
    """What a correction says of a label; None where it is about something else."""
    if one.action is CorrectionAction.DELETED:
        return False if part.region is not None and one.region_id == part.region.region_id else None
    if one.kind is not part.kind or not _is_about(one, part):
        return None
    if one.action is CorrectionAction.VERDICT:
        return one.right
    if one.after is None:
        return None
    if one.action is CorrectionAction.RECAPTIONED or one.action is CorrectionAction.ANSWERED:
        return words_of(one.after.text or "") == words_of(part.label.text)
    if one.action is CorrectionAction.RECOUNTED and isinstance(part.part, Count):
        return one.after.count == part.part.count
    if one.action is CorrectionAction.REGROUNDED and one.after.region_ids is not None:
        return set(one.after.region_ids) == set(part.region_ids)
    return None


def _is_about(one: Correction, part: LabelPart) -> bool:
    if part.region is not None:
        return one.region_id == part.region.region_id
    same = (one.subject or "").casefold() == part.subject.casefold()
    return same and (one.region_id is None or one.region_id in part.region_ids)
