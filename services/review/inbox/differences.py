"""What a person changed: compares an annotation with what was shown and returns corrections.

A submitted annotation covers everything that was shown: whatever was left unchanged and not called wrong is
confirmed (`verdict`, right). If a region is called wrong and all its texts and answers are unchanged, each
of them is wrong. If it has none, it is wrong under the phrases that name it; if no phrase names it either,
the box itself is wrong: deleted. An emptied or deleted answer is a wrong answer. A deleted region gets no
other corrections, nor do phrases that use it as their example. A mask that was painted over is moved: its new
box is around it. Boxes: pixels of the EXIF-oriented image. Pure functions.
"""

from collections.abc import Iterator
from typing import Any

from schemas.corrections import Correction, CorrectionAction, CorrectionValue
from schemas.labels import LabelKind
from schemas.regions import make_region_id, number_equal_ids
from services.label_studio.annotated import AnnotatedRegion, ParsedAnnotation
from services.label_studio.brushes import is_same_mask
from services.label_studio.convert import phrase_aliases
from services.label_studio.shown import ShownImage, ShownRegion
from services.review.inbox.boxes import is_still
from services.review.inbox.count_differences import count_changes
from services.review.inbox.submission import Submission
from services.review.inbox.track_differences import TrackComparison


def corrections_of(
    shown: ShownImage, annotated: ParsedAnnotation, submission: Submission
) -> list[Correction]:
    """Return everything that the annotation changes or confirms, boxes first."""
    comparison = _Comparison(shown, annotated, submission)
    return [
        *comparison.boxes(),
        *comparison.classes(),
        *comparison.texts(),
        *comparison.phrases(),
        *comparison.whole_image(),
    ]


class _Comparison:
    """Compares one annotation with what was shown. Regions are identified by their `mark`."""

    def __init__(self, shown: ShownImage, annotated: ParsedAnnotation, submission: Submission) -> None:
        self._shown, self._annotated, self._submission = shown, annotated, submission
        self._tracks = TrackComparison(shown, annotated) if shown.clip is not None else None
        self._shown_regions = {region.mark: region for region in shown.regions}
        self._ids = self._region_ids()
        self._in_phrases = {mark for part in shown.phrases for mark in part.marks}
        self._wrong = {mark for mark, region in annotated.regions.items() if self._is_wrong_box(mark, region)}
        self._deleted = {mark for mark in self._shown_regions if self._is_deleted(mark)}
        answers = [(shown.answers[index], text) for index, text in sorted(annotated.answers.items())]
        self._answers = [(part, text) for part, text in answers if part.mark not in self._deleted]
        self._marks_with_new_answers = {part.mark for part, text in answers if not is_same(part.answer, text)}

    def boxes(self) -> Iterator[Correction]:
        """Yield regions moved, deleted and added."""
        if self._tracks is not None:
            for change in self._tracks.changes(self._deleted):
                yield self._correction(
                    change.action,
                    region_id=change.track_id,
                    frame=change.frame,
                    before=change.before,
                    after=change.after,
                )
            return
        for mark, region in self._shown_regions.items():
            annotated = self._annotated.regions.get(mark)
            before = CorrectionValue(box_xyxy=region.box_xyxy, mask_rle=region.mask_rle)
            if mark in self._annotated.marks_not_read:
                continue
            if annotated is None or mark in self._deleted:
                yield self._correction(CorrectionAction.DELETED, region_id=region.region_id, before=before)
            elif not _is_unmoved(region, annotated):
                yield self._correction(
                    CorrectionAction.MOVED,
                    region_id=region.region_id,
                    before=before,
                    after=_shape(annotated),
                )
        for mark, added in self._annotated.regions.items():
            if mark not in self._shown_regions:
                after = _shape(added)
                # The id follows from the box, unless another region has that box.
                region_id = None if self._ids[mark] == self._base_id(added) else self._ids[mark]
                yield self._correction(CorrectionAction.ADDED, region_id=region_id, after=after)

    def classes(self) -> Iterator[Correction]:
        """Yield classes that a person gave with a control or label of the project's own."""
        for mark, annotated in self._annotated.regions.items():
            region = self._shown_regions.get(mark)
            before = region.source_label if region is not None else None
            if annotated.label is not None and annotated.label != before and mark not in self._deleted:
                yield self._correction(
                    CorrectionAction.RENAMED,
                    region_id=self._ids[mark],
                    before=CorrectionValue(text=before) if before is not None else None,
                    after=CorrectionValue(text=annotated.label),
                )

    def texts(self) -> Iterator[Correction]:
        """Yield captions and readings, changed or confirmed."""
        for mark, annotated in self._annotated.regions.items():
            region = self._shown_regions.get(mark)
            before = region.texts if region is not None else {}
            changed = self._changed_texts(mark, annotated)
            for kind in changed:
                yield self._correction(
                    CorrectionAction.RECAPTIONED,
                    region_id=self._ids[mark],
                    kind=kind,
                    before=CorrectionValue(text=before[kind]) if kind in before else None,
                    after=CorrectionValue(text=annotated.texts.get(kind, "")),
                )
            if region is not None:
                yield from self._unchanged_texts(region, changed)

    def phrases(self) -> Iterator[Correction]:
        """Yield which regions each phrase names, changed or confirmed."""
        for alias, part in zip(phrase_aliases(self._shown), self._shown.phrases, strict=True):
            example = part.example_mark
            if example in self._deleted:
                continue
            # An example is like itself, so it counts only if it was shown among the phrase's regions.
            excluded = self._wrong | ({example} - set(part.marks))
            not_read = [mark for mark in part.marks if mark in self._annotated.marks_not_read]
            marks = not_read + [
                mark
                for mark, region in self._annotated.regions.items()
                if alias in region.phrases and mark not in excluded
            ]
            remaining = not_read + [mark for mark in part.marks if mark in self._annotated.regions]
            about: dict[str, Any] = {
                "kind": part.kind,
                "subject": part.phrase,
                "before": CorrectionValue(region_ids=part.region_ids),
            }
            if set(marks) != set(remaining):
                after = CorrectionValue(region_ids=[self._ids[mark] for mark in marks])
                yield self._correction(CorrectionAction.REGROUNDED, after=after, **about)
            elif len(remaining) == len(part.marks) and not not_read:
                yield self._correction(CorrectionAction.VERDICT, right=True, **about)

    def whole_image(self) -> Iterator[Correction]:
        """Yield the image's caption, its counts and the answers to free questions, changed or confirmed."""
        before, after = self._shown.caption or "", self._annotated.caption or ""
        about: dict[str, Any] = {
            "kind": LabelKind.GROUNDED_CAPTION,
            "before": CorrectionValue(text=before) if before else None,
        }
        if not is_same(before, after):
            yield self._correction(CorrectionAction.RECAPTIONED, after=CorrectionValue(text=after), **about)
        elif before:
            yield self._correction(CorrectionAction.VERDICT, right=True, **about)
        yield from self._counts()
        yield from self._answer_corrections()

    def _counts(self) -> Iterator[Correction]:
        for change in count_changes(self._shown.counts, self._annotated.counts or ""):
            yield self._correction(
                change.action,
                kind=LabelKind.COUNT,
                subject=change.phrase,
                before=change.before,
                after=change.after,
                right=change.right,
            )

    def _answer_corrections(self) -> Iterator[Correction]:
        """Yield answers changed, confirmed, or emptied; emptied ones are wrong, without a right answer."""
        for part, text in self._answers:
            about: dict[str, Any] = {
                "region_id": None if part.mark is None else self._ids[part.mark],
                "kind": LabelKind.ASK,
                "subject": part.question,
                "before": CorrectionValue(text=part.answer),
            }
            is_unchanged = is_same(part.answer, text)
            if text.strip() and not is_unchanged:
                yield self._correction(CorrectionAction.ANSWERED, after=CorrectionValue(text=text), **about)
            elif not is_unchanged:
                yield self._correction(CorrectionAction.VERDICT, right=False, **about)
            elif (right := self._is_unchanged_right(part.mark)) is not None:
                yield self._correction(CorrectionAction.VERDICT, right=right, **about)

    def _is_unchanged_right(self, mark: str | None) -> bool | None:
        """Return whether unchanged parts of a region are right.

        None: the region is called wrong and another part of it was changed, so the rest is unknown.
        """
        region = self._annotated.regions.get(mark or "")
        if mark is None or region is None or region.verdict is not False:
            return True
        return None if mark in self._marks_with_new_answers or self._changed_texts(mark, region) else False

    def _changed_texts(self, mark: str, annotated: AnnotatedRegion) -> list[LabelKind]:
        region = self._shown_regions.get(mark)
        before = region.texts if region is not None else {}
        kinds = [*before, *(kind for kind in annotated.texts if kind not in before)]
        return [kind for kind in kinds if not is_same(before.get(kind, ""), annotated.texts.get(kind, ""))]

    def _is_deleted(self, mark: str) -> bool:
        """Return whether a region is deleted, or a wrong box without a phrase that would be wrong instead."""
        if mark in self._annotated.marks_not_read:
            return False
        return mark not in self._annotated.regions or (mark in self._wrong and mark not in self._in_phrases)

    def _is_wrong_box(self, mark: str, annotated: AnnotatedRegion) -> bool:
        """Return whether a region without any text or answer is called wrong and was not moved."""
        region = self._shown_regions.get(mark)
        if region is None or annotated.verdict is not False or region.texts or any(annotated.texts.values()):
            return False
        if any(part.mark == mark for part in self._shown.answers):
            return False
        if self._tracks is not None:
            return not any(change.track_id == region.region_id for change in self._tracks.changes(set()))
        return _is_unmoved(region, annotated)

    def _unchanged_texts(self, region: ShownRegion, changed: list[LabelKind]) -> Iterator[Correction]:
        """Yield verdicts on the texts that were left unchanged."""
        right = self._is_unchanged_right(region.mark)
        for kind, text in region.texts.items():
            if kind not in changed and right is not None:
                yield self._correction(
                    CorrectionAction.VERDICT,
                    region_id=self._ids[region.mark],
                    kind=kind,
                    before=CorrectionValue(text=text),
                    right=right,
                )

    def _region_ids(self) -> dict[str, str]:
        """Return the id of every region by mark: those that were shown keep theirs, moved or not."""
        if self._tracks is not None:
            return self._tracks.track_ids()
        added = {
            mark: self._base_id(region)
            for mark, region in self._annotated.regions.items()
            if mark not in self._shown_regions
        }
        region_ids = number_equal_ids(
            [*(region.region_id for region in self._shown.regions), *added.values()]
        )
        return dict(zip([*self._shown_regions, *added], region_ids, strict=True))

    def _base_id(self, annotated: AnnotatedRegion) -> str:
        return make_region_id(self._shown.image_id, annotated.box_xyxy)

    def _correction(self, action: CorrectionAction, **fields: Any) -> Correction:
        if self._tracks is not None:
            fields["track_id"] = fields.pop("region_id", None)
        return self._submission.correction(self._shown.image_id, action, **fields)


def _is_unmoved(region: ShownRegion, annotated: AnnotatedRegion) -> bool:
    """Return whether a region has the box, or the mask, that was shown."""
    if region.mask_rle is not None:
        return is_same_mask(region.mask_rle, annotated.mask_rle)
    return is_still(region.box_xyxy, annotated.box_xyxy)


def _shape(annotated: AnnotatedRegion) -> CorrectionValue:
    return CorrectionValue(box_xyxy=annotated.box_xyxy, mask_rle=annotated.mask_rle)


def is_same(before: str, after: str) -> bool:
    """Return whether a text is unchanged but for what a field does when somebody only clicks into it.

    Fields take spaces off both ends, and some take line breaks out or put spaces for them.
    """
    if before == after:
        return True
    lines = before.splitlines()
    return after.strip() in {join.join(lines).strip() for join in ("\n", " ", "")}
