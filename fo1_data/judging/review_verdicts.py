"""Which labels are right, by the corrections of a review.

A label is judged by a verdict or by a change (a changed label was wrong, unless the new text has the same
words). A label that was shown without either is not judged, so a review must write a verdict for labels
that it leaves as they are. A label certifies if it was drawn for the audit: by its own decision, also in an
image that is reviewed because of another label, since leaving out those images would leave out the harder
ones. In a dataset that was never routed, the labels of the audit lane certify. All other reviewed labels
are a selected sample and may only be trained on.
"""

from collections.abc import Iterable

from fo1_data.dataset.label_parts import LabelPart, label_parts
from fo1_data.judging.correctness import Judged
from fo1_data.judging.words import words_of
from schemas.corrections import Correction, CorrectionAction, Lane
from schemas.images import Count, ImageRow
from schemas.labels import Decision, Source


def judge_reviewed(rows: Iterable[ImageRow], corrections: Iterable[Correction]) -> list[Judged]:
    """Every label of a model in the reviewed images of `rows`, judged by the last correction of it."""
    by_image: dict[str, list[Correction]] = {}
    for correction in sorted(corrections, key=lambda correction: correction.order):
        by_image.setdefault(correction.image_id, []).append(correction)
    judged = []
    for row in rows:
        of_image = by_image.get(row.image_id, [])
        if of_image:
            parts = label_parts(row)
            judged += [_judge(part, of_image) for part in parts if part.label.source is Source.MODEL]
    return judged


def _judge(part: LabelPart, corrections: list[Correction]) -> Judged:
    right, drawn = None, False
    for correction in corrections:
        verdict = _verdict(correction, part)
        if verdict is not None:
            right, drawn = verdict, _was_drawn(part, correction)
    return Judged(part, right, drawn, eligible=part.label.decision is not Decision.REVIEW)


def _was_drawn(part: LabelPart, correction: Correction) -> bool:
    decision = part.label.decision
    return decision is Decision.AUDIT or (decision is None and correction.lane is Lane.AUDIT)


def _verdict(correction: Correction, part: LabelPart) -> bool | None:
    """Whether a label is right by a correction; None if the correction is about something else."""
    if correction.action is CorrectionAction.DELETED:
        return False if part.region is not None and correction.region_id == part.region.region_id else None
    if correction.kind is not part.kind or not _is_about(correction, part):
        return None
    if correction.action is CorrectionAction.VERDICT:
        return correction.right
    if correction.after is None:
        return None
    if correction.action is CorrectionAction.RECAPTIONED or correction.action is CorrectionAction.ANSWERED:
        return words_of(correction.after.text or "") == words_of(part.label.text)
    if correction.action is CorrectionAction.RECOUNTED and isinstance(part.part, Count):
        return correction.after.count == part.part.count
    if correction.action is CorrectionAction.REGROUNDED and correction.after.region_ids is not None:
        return set(correction.after.region_ids) == set(part.region_ids)
    return None


def _is_about(correction: Correction, part: LabelPart) -> bool:
    if part.region is not None:
        return correction.region_id == part.region.region_id
    same = (correction.subject or "").casefold() == part.subject.casefold()
    return same and (correction.region_id is None or correction.region_id in part.region_ids)
