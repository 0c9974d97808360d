"""Which labels are right, by the corrections of a review.

A label is judged by a verdict or by a change: a changed label was wrong, unless the new text has the same
words. A region has two ids once its box was moved, and corrections may use either (`RegionNames`). A label of
a region that was deleted, or moved so far that it is another box (IoU below 0.5), was wrong, and so is a
phrase that names such a region. Of one submission every verdict on a label must say right; of several
submissions the last that judges a label counts.

A label certifies if it was drawn for the audit: by its own decision, also in an image that is reviewed
because of another label, since leaving out those images would leave out the harder ones. In a dataset that
was never routed, the labels of the audit lane certify. A label that certifies and has no verdict is missed
and counts as wrong, also if nobody has opened its image yet: no edit takes a wrong label out of the count.
All other reviewed labels are a selected sample and may only be trained on.
"""

from collections.abc import Iterable

from fo1_data.boxes import as_boxes, iou_matrix
from fo1_data.dataset.corrections.region_names import RegionNames, in_order
from fo1_data.dataset.label_parts import LabelPart, label_parts
from fo1_data.judging.correctness import Judged
from fo1_data.judging.matching import MATCH_IOU
from fo1_data.judging.words import words_of
from schemas.corrections import Correction, CorrectionAction, CorrectionValue, Lane
from schemas.images import Count, ImageRow
from schemas.labels import Decision, LabelKind, Source
from schemas.regions import Box


def judge_reviewed(rows: Iterable[ImageRow], corrections: Iterable[Correction]) -> list[Judged]:
    """Every label of a model in images that were reviewed or hold labels drawn for the audit."""
    by_image: dict[str, list[Correction]] = {}
    for correction in in_order(corrections):
        by_image.setdefault(correction.image_id, []).append(correction)
    judged = []
    for row in rows:
        of_image = by_image.get(row.image_id, [])
        if of_image or any(label.decision is Decision.AUDIT for label in row.all_labels()):
            review = _ImageReview(row, of_image)
            parts = label_parts(row)
            judged += [review.judge(part) for part in parts if part.label.source is Source.MODEL]
    return judged


class _ImageReview:
    """What people said of one image, submission by submission, the oldest first."""

    def __init__(self, row: ImageRow, corrections: list[Correction]) -> None:
        self._names = RegionNames(row, corrections)
        is_routed = any(label.decision is not None for label in row.all_labels())
        in_audit_lane = any(correction.lane is Lane.AUDIT for correction in corrections)
        self._unrouted_audit = in_audit_lane and not is_routed
        submissions: dict[tuple[str, str], list[Correction]] = {}
        for correction in corrections:
            submissions.setdefault((correction.annotation_key, correction.at), []).append(correction)
        self._submissions = [(said, self._displaced(row, said)) for said in submissions.values()]

    def judge(self, part: LabelPart) -> Judged:
        """The last verdict on a label, and whether the label certifies."""
        right: bool | None = None
        for corrections, displaced in self._submissions:
            verdicts = [self._verdict(correction, part) for correction in corrections]
            if part.kind is not LabelKind.COUNT and displaced & self._regions_of(part):
                verdicts.append(False)
            given = [verdict for verdict in verdicts if verdict is not None]
            right = all(given) if given else right
        decision = part.label.decision
        certifies = decision is Decision.AUDIT or self._unrouted_audit
        eligible = decision is not Decision.REVIEW
        return Judged(part, right, certifies, eligible, missed=certifies and right is None)

    def _displaced(self, row: ImageRow, corrections: Iterable[Correction]) -> set[str | None]:
        """The regions that a submission deletes, or moves to where they are another box."""
        boxes = {region.region_id: region.box_xyxy for region in row.regions}
        displaced: set[str | None] = set()
        for correction in corrections:
            name = self._names.name(correction.region_id)
            if correction.action is CorrectionAction.DELETED:
                displaced.add(name)
            elif correction.action is CorrectionAction.MOVED and name is not None:
                before = boxes.get(name) or _box_of(correction.before)
                after = _box_of(correction.after)
                if before is None or after is None or not _is_same_box(before, after):
                    displaced.add(name)
        return displaced - {None}

    def _regions_of(self, part: LabelPart) -> set[str | None]:
        """The regions that a label is about or names, with the example of a visual example."""
        example = [part.subject] if part.kind is LabelKind.VISUAL_EXAMPLE else []
        return {self._names.name(region_id) for region_id in [*part.region_ids, *example]}

    def _verdict(self, correction: Correction, part: LabelPart) -> bool | None:
        """Whether a label is right by one correction; None if the correction does not say."""
        after = correction.after or CorrectionValue()
        if correction.action is CorrectionAction.RENAMED:
            return self._right_by_class(correction, after.text or "", part)
        if correction.kind is not part.kind:
            return None
        if part.kind is LabelKind.GROUNDED_CAPTION and correction.subject is None:
            return _right_by_caption(correction, after.text or "", part)
        if not self._is_about(correction, part):
            return None
        match correction.action:
            case CorrectionAction.VERDICT:
                return correction.right
            case CorrectionAction.RECAPTIONED | CorrectionAction.ANSWERED:
                return words_of(after.text or "") == words_of(part.label.text)
            case CorrectionAction.RECOUNTED if isinstance(part.part, Count):
                return after.count == part.part.count
            case CorrectionAction.REGROUNDED if after.region_ids is not None:
                named = {self._names.name(region_id) or region_id for region_id in after.region_ids}
                return named == {self._names.name(region_id) or region_id for region_id in part.region_ids}
        return None

    def _is_about(self, correction: Correction, part: LabelPart) -> bool:
        name = self._names.name(correction.region_id)
        if part.region is not None:
            return name is not None and name == self._names.name(part.region.region_id)
        if part.kind is LabelKind.VISUAL_EXAMPLE:
            example = self._names.name(part.subject)
            return example is not None and self._names.name(correction.subject) == example
        same = (correction.subject or "").casefold() == part.subject.casefold()
        return same and (correction.region_id is None or name in self._regions_of(part))

    def _right_by_class(self, correction: Correction, new_class: str, part: LabelPart) -> bool | None:
        """False for a detection that names a region of another class, or leaves out one of this class."""
        if part.kind is not LabelKind.DETECT:
            return None
        old_class = correction.before.text if correction.before is not None else None
        is_named = self._names.name(correction.region_id) in self._regions_of(part)
        subject = part.subject.casefold()
        is_wrong = (is_named and subject == (old_class or "").casefold()) or (
            not is_named and subject == new_class.casefold()
        )
        return False if is_wrong and new_class.casefold() != (old_class or "").casefold() else None


def _right_by_caption(correction: Correction, caption: str, part: LabelPart) -> bool | None:
    """False for a phrase of an image's caption that was called wrong, or written anew without the phrase."""
    if correction.action is CorrectionAction.RECAPTIONED:
        return None if part.subject.casefold() in caption.casefold() else False
    return False if correction.right is False else None


def _box_of(value: CorrectionValue | None) -> Box | None:
    return value.box_xyxy if value is not None else None


def _is_same_box(before: Box, after: Box) -> bool:
    return bool(iou_matrix(as_boxes([before]), as_boxes([after]))[0, 0] >= MATCH_IOU)
