"""What a person changed: an annotation against what was shown, as corrections with the original beside them.

A submitted annotation speaks of everything that was shown: what was left as it was, and not called wrong,
is confirmed (`verdict`, right). A region called wrong whose texts and answers were all left alone is wrong
in each of them; one without any is wrong under the phrases that name it; where there are none either, the
box itself is wrong: deleted. A line of the counts that was deleted is a wrong count, an answer that was
emptied or deleted a wrong answer. Of a deleted region nothing else is said, nor of what is like it. Boxes:
pixels of the EXIF-oriented image. Pure functions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from schemas.corrections import Correction, CorrectionAction, CorrectionValue, Lane
from schemas.labels import LabelKind
from schemas.regions import Box, make_region_id
from services.label_studio.convert import Said, SaidRegion, counts_text, phrase_aliases
from services.label_studio.shown import ShownCount, ShownImage, ShownRegion

# Browsers compute in percent: what they give back unmoved is off by far less, what a hand moves by more.
STILL_PX = 0.01
_DIGITS = 9


@dataclass(frozen=True)
class Submission:
    """Who submitted, when, and how long it took: the same on all corrections of one annotation."""

    annotation_key: str
    annotator: str
    at: str
    seconds: float | None = None
    lane: Lane = Lane.REVIEW
    ground_truth: bool = False


def corrections_of(shown: ShownImage, said: Said, submission: Submission) -> list[Correction]:
    """Everything that `said` changes or confirms of what was shown, boxes first."""
    told = _Teller(shown, said, submission)
    return [*told.boxes(), *told.texts(), *told.phrases(), *told.whole_image()]


class _Teller:
    def __init__(self, shown: ShownImage, said: Said, submission: Submission) -> None:
        self._shown, self._said, self._submission = shown, said, submission
        self._known = {region.mark: region for region in shown.regions}
        self._ids = {mark: self._region_id(mark, region) for mark, region in said.regions.items()}
        self._named = {mark for part in shown.phrases for mark in part.marks}
        self._wrong = {mark for mark, region in said.regions.items() if self._is_wrong_as_such(mark, region)}
        self._gone = {mark for mark in self._known if self._is_gone(mark)}
        answers = [(shown.answers[place], text) for place, text in sorted(said.answers.items())]
        self._answers_left = [(part, text) for part, text in answers if part.mark not in self._gone]
        self._answered_anew = {part.mark for part, text in answers if text != part.answer}

    def boxes(self) -> Iterator[Correction]:
        """Regions moved, deleted, added."""
        for mark, region in self._known.items():
            left = self._said.regions.get(mark)
            before = CorrectionValue(box_xyxy=region.box_xyxy)
            if left is None or mark in self._gone:
                yield self._one(CorrectionAction.DELETED, region_id=region.region_id, before=before)
            elif not is_still(region.box_xyxy, left.box_xyxy):
                after = CorrectionValue(box_xyxy=left.box_xyxy)
                yield self._one(
                    CorrectionAction.MOVED, region_id=region.region_id, before=before, after=after
                )
        for mark, added in self._said.regions.items():
            if mark not in self._known:
                yield self._one(CorrectionAction.ADDED, after=CorrectionValue(box_xyxy=added.box_xyxy))

    def texts(self) -> Iterator[Correction]:
        """Captions and readings, changed or confirmed."""
        for mark, left in self._said.regions.items():
            region = self._known.get(mark)
            before = region.texts if region is not None else {}
            changed = self._changed_texts(mark, left)
            for kind in changed:
                yield self._one(
                    CorrectionAction.RECAPTIONED,
                    region_id=self._ids[mark],
                    kind=kind,
                    before=CorrectionValue(text=before[kind]) if kind in before else None,
                    after=CorrectionValue(text=left.texts.get(kind, "")),
                )
            if region is not None:
                yield from self._judged(region, changed)

    def phrases(self) -> Iterator[Correction]:
        """Which regions a phrase names, changed or confirmed."""
        for alias, part in zip(phrase_aliases(self._shown), self._shown.phrases, strict=True):
            example = part.example_mark
            if example in self._gone:
                continue
            # An example is like itself, and not among what it names.
            never = self._wrong | ({example} - set(part.marks))
            now = [
                mark
                for mark, region in self._said.regions.items()
                if alias in region.phrases and mark not in never
            ]
            kept = [mark for mark in part.marks if mark in self._said.regions]
            before = CorrectionValue(region_ids=part.region_ids)
            if set(now) != set(kept):
                after = CorrectionValue(region_ids=[self._ids[mark] for mark in now])
                yield self._one(
                    CorrectionAction.REGROUNDED,
                    kind=part.kind,
                    subject=part.phrase,
                    before=before,
                    after=after,
                )
            elif len(kept) == len(part.marks):
                yield self._one(
                    CorrectionAction.VERDICT, kind=part.kind, subject=part.phrase, before=before, right=True
                )

    def whole_image(self) -> Iterator[Correction]:
        """The image's caption, its counts and the answers to free questions."""
        before, after = self._shown.caption or "", self._said.caption or ""
        if before != after:
            yield self._one(
                CorrectionAction.RECAPTIONED,
                kind=LabelKind.GROUNDED_CAPTION,
                before=CorrectionValue(text=before) if before else None,
                after=CorrectionValue(text=after),
            )
        elif before:
            kind = LabelKind.GROUNDED_CAPTION
            yield self._one(
                CorrectionAction.VERDICT, kind=kind, before=CorrectionValue(text=before), right=True
            )
        yield from self._counts()
        yield from self._answers()

    def _counts(self) -> Iterator[Correction]:
        shown = {part.phrase: part for part in self._shown.counts}
        left = parse_counts(self._said.counts if self._said.counts is not None else "")
        if self._said.counts == counts_text(self._shown.counts):
            left = {phrase: part.count for phrase, part in shown.items()}
        for phrase, count in left.items():
            part = shown.get(phrase)
            before = (
                CorrectionValue(count=part.count, region_ids=part.region_ids) if part is not None else None
            )
            if part is not None and part.count == count:
                kind = LabelKind.COUNT
                yield self._one(
                    CorrectionAction.VERDICT, kind=kind, subject=phrase, before=before, right=True
                )
            else:
                after = CorrectionValue(count=count)
                yield self._one(CorrectionAction.RECOUNTED, subject=phrase, before=before, after=after)
        yield from self._counts_deleted(shown)

    def _counts_deleted(self, shown: dict[str, ShownCount]) -> Iterator[Correction]:
        """Counts whose lines are no longer there; of a line without a number nothing is known."""
        if self._said.counts == counts_text(self._shown.counts):
            return
        lines = (self._said.counts or "").splitlines()
        there = {line.rpartition("=")[0].strip() for line in lines} | {line.strip() for line in lines}
        for phrase, part in shown.items():
            if phrase.strip() not in there and len(phrase.splitlines()) == 1:
                before = CorrectionValue(count=part.count, region_ids=part.region_ids)
                yield self._one(
                    CorrectionAction.VERDICT, kind=LabelKind.COUNT, subject=phrase, before=before, right=False
                )

    def _answers(self) -> Iterator[Correction]:
        """Answers changed, confirmed, or emptied: these are wrong, since nobody says what is right."""
        for part, text in self._answers_left:
            about: dict[str, Any] = {
                "region_id": None if part.mark is None else self._ids[part.mark],
                "kind": LabelKind.ASK,
                "subject": part.question,
                "before": CorrectionValue(text=part.answer),
            }
            if text.strip() and text != part.answer:
                yield self._one(CorrectionAction.ANSWERED, after=CorrectionValue(text=text), **about)
            elif text != part.answer:
                yield self._one(CorrectionAction.VERDICT, right=False, **about)
            elif (right := self._is_left_right(part.mark)) is not None:
                yield self._one(CorrectionAction.VERDICT, right=right, **about)

    def _is_left_right(self, mark: str | None) -> bool | None:
        """Whether what was left alone is right; None where its region is wrong in what was changed."""
        left = self._said.regions.get(mark or "")
        if mark is None or left is None or left.verdict is not False:
            return True
        return None if mark in self._answered_anew or self._changed_texts(mark, left) else False

    def _changed_texts(self, mark: str, left: SaidRegion) -> list[LabelKind]:
        region = self._known.get(mark)
        before = region.texts if region is not None else {}
        kinds = [*before, *(kind for kind in left.texts if kind not in before)]
        return [kind for kind in kinds if left.texts.get(kind, "") != before.get(kind, "")]

    def _is_gone(self, mark: str) -> bool:
        """Whether the region is deleted, or wrong as such without a phrase that would be wrong instead."""
        return mark not in self._said.regions or (mark in self._wrong and mark not in self._named)

    def _is_wrong_as_such(self, mark: str, left: SaidRegion) -> bool:
        """Whether a region without any text or answer is called wrong and left where it was."""
        region = self._known.get(mark)
        if region is None or left.verdict is not False or region.texts or any(left.texts.values()):
            return False
        if any(part.mark == mark for part in self._shown.answers):
            return False
        return is_still(region.box_xyxy, left.box_xyxy)

    def _judged(self, region: ShownRegion, changed: list[LabelKind]) -> Iterator[Correction]:
        """Verdicts on the texts that stayed."""
        right = self._is_left_right(region.mark)
        for kind, text in region.texts.items():
            if kind not in changed and right is not None:
                yield self._one(
                    CorrectionAction.VERDICT,
                    region_id=self._ids[region.mark],
                    kind=kind,
                    before=CorrectionValue(text=text),
                    right=right,
                )

    def _region_id(self, mark: str, left: SaidRegion) -> str:
        region = self._known.get(mark)
        if region is not None and is_still(region.box_xyxy, left.box_xyxy):
            return region.region_id
        return make_region_id(self._shown.image_id, left.box_xyxy)

    def _one(self, action: CorrectionAction, **of_it: Any) -> Correction:
        by = self._submission
        return Correction(
            image_id=self._shown.image_id,
            action=action,
            annotator=by.annotator,
            seconds=by.seconds,
            at=by.at,
            lane=by.lane,
            annotation_key=by.annotation_key,
            ground_truth=by.ground_truth,
            **of_it,
        )


def is_still(one: Box, other: Box) -> bool:
    """Whether two boxes are the same to within STILL_PX on every side."""
    return all(abs(a - b) <= STILL_PX for a, b in zip(one, other, strict=True))


def parse_counts(text: str) -> dict[str, int]:
    """The lines `phrase = number` of a text; others say nothing."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        phrase, equals, number = line.rpartition("=")
        if equals and number.strip().isdecimal() and len(number.strip()) <= _DIGITS and phrase.strip():
            found[phrase.strip()] = int(number)
    return found
