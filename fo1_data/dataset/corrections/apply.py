"""A row with corrections applied: a pure function of the row and of the set of corrections.

Corrections are applied in their own order (time, ground truth last), whatever the order they come in, and
each one names its target, so the last word on a thing holds. What names nothing that the row has, or a
label that was another one by then, is left out and counted. What happens to a region is in
`corrected_regions`, to a phrase in `corrected_phrases`; here are the image's caption and its answers.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from fo1_data.dataset.corrections.phrases import CorrectedPhrases, judge
from fo1_data.dataset.corrections.region_names import RegionNames
from fo1_data.dataset.corrections.regions import CorrectedRegions
from fo1_data.dataset.human_labels import confirmed, human_label
from schemas.corrections import Correction, CorrectionAction
from schemas.images import Answer, ImageRow
from schemas.labels import Label, LabelKind, Source, strictest
from schemas.regions import TEXT_COLUMNS


@dataclass(frozen=True)
class Applied:
    """A corrected row, the corrections that took effect, and those that did not."""

    row: ImageRow
    done: list[Correction] = field(default_factory=list)
    left_out: list[Correction] = field(default_factory=list)


def apply_corrections(row: ImageRow, corrections: Iterable[Correction]) -> Applied:
    """The row as people have corrected it; `corrections` of other images are not looked at."""
    ours = {one.correction_id: one for one in corrections if one.image_id == row.image_id}
    ordered = sorted(_latest(ours.values()), key=lambda one: one.order)
    work = _CorrectedRow(row, ordered)
    done: list[Correction] = []
    left_out: list[Correction] = []
    for correction in ordered:
        (done if work.apply(correction) else left_out).append(correction)
    return Applied(work.finish(), done, left_out)


def _latest(corrections: Iterable[Correction]) -> list[Correction]:
    """Of an annotation that was submitted again, the corrections of the last time only."""
    found = list(corrections)
    last: dict[str, str] = {}
    for one in found:
        last[one.annotation_key] = max(one.at, last.get(one.annotation_key, ""))
    return [one for one in found if not one.annotation_key or one.at == last[one.annotation_key]]


class _CorrectedRow:
    """A row taken apart while corrections are applied."""

    def __init__(self, row: ImageRow, ordered: Sequence[Correction]) -> None:
        self._row = row
        self._names = RegionNames(row, ordered)
        self._regions = CorrectedRegions(row, self._names)
        self._phrases = CorrectedPhrases(row, self._names)
        self._answers = list(row.answers)
        self._caption, self._caption_label = row.caption, row.caption_label

    def apply(self, one: Correction) -> bool:
        """Apply one correction; False where it names nothing that is there."""
        handlers: dict[CorrectionAction, Callable[[Correction], bool]] = {
            CorrectionAction.VERDICT: self._judge,
            CorrectionAction.MOVED: self._regions.move,
            CorrectionAction.ADDED: self._regions.add,
            CorrectionAction.DELETED: self._delete,
            CorrectionAction.RENAMED: self._rename,
            CorrectionAction.RECAPTIONED: self._recaption,
            CorrectionAction.REGROUNDED: self._phrases.reground,
            CorrectionAction.RECOUNTED: self._phrases.recount,
            CorrectionAction.ANSWERED: self._answer,
        }
        return handlers[one.action](one)

    def finish(self) -> ImageRow:
        """The row put together again: indices and ids by the boxes as they are now, decisions anew."""
        regions, ids = self._regions.finish()
        groundings, counts = self._phrases.finish(ids)
        answers = [
            part.model_copy(update={"region_id": None if part.region_id is None else ids[name]})
            for part in self._answers
            if part.region_id is None or (name := self._names.name(part.region_id) or "") in ids
        ]
        row = self._row.model_copy(
            update={
                "regions": regions,
                "groundings": groundings,
                "counts": counts,
                "answers": answers,
                "caption": self._caption,
                "caption_label": self._caption_label,
            }
        )
        return row.model_copy(update={"decision": strictest(label.decision for label in row.all_labels())})

    def _delete(self, one: Correction) -> bool:
        if not self._regions.delete(one):
            return False
        self._phrases.forget(one.region_id)
        return True

    def _rename(self, one: Correction) -> bool:
        return self._names.name(one.region_id) in self._regions and self._phrases.rename(one)

    def _recaption(self, one: Correction) -> bool:
        text = one.after.text if one.after else None
        if text is None:
            return False
        if one.region_id is not None:
            return self._regions.write(one, text)
        self._caption = text or None
        self._caption_label = human_label(LabelKind.GROUNDED_CAPTION, text, one.annotator, one.at)
        self._phrases.keep_what_a_caption_holds(text)
        return True

    def _answer(self, one: Correction) -> bool:
        if one.after is None or one.after.text is None or one.subject is None:
            return False
        region = self._names.name(one.region_id)
        if one.region_id is not None and region not in self._regions:
            return False
        label = human_label(LabelKind.ASK, one.after.text, one.annotator, one.at)
        new = Answer(question=one.subject, region_id=region, answer=one.after.text, label=label)
        place = self._answer_place(one)
        if place is None:
            self._answers.append(new)
        else:
            self._answers[place] = new
        return True

    def _answer_place(self, one: Correction) -> int | None:
        region = self._names.name(one.region_id)
        for place, part in enumerate(self._answers):
            if part.question == one.subject and self._names.name(part.region_id) == region:
                return place
        return None

    def _judge(self, one: Correction) -> bool:
        """A right label is confirmed, a wrong one goes; one that was another by then is left alone."""
        if one.kind in TEXT_COLUMNS:
            return self._regions.judge(one)
        if one.kind is LabelKind.ASK:
            return self._judge_answer(one)
        if one.kind is LabelKind.COUNT:
            return self._phrases.judge_count(one)
        if one.subject is None:
            return self._judge_caption(one)
        return self._phrases.judge_grounding(one)

    def _judge_answer(self, one: Correction) -> bool:
        place = self._answer_place(one)
        said = one.before.text if one.before else None
        if place is not None and said is not None and self._answers[place].answer != said:
            return False
        return judge(self._answers, place, one)

    def _judge_caption(self, one: Correction) -> bool:
        said = one.before.text if one.before else None
        if self._caption is None or (said is not None and self._caption != said):
            return False
        if one.right:
            asked = any(part.kind is LabelKind.GROUNDED_CAPTION for part in self._row.groundings)
            source = Source.MODEL if asked else Source.CORPUS
            label = Label(kind=LabelKind.GROUNDED_CAPTION, text=self._caption, source=source)
            self._caption_label = confirmed(self._caption_label or label, one.annotator, one.at)
        else:
            self._caption = self._caption_label = None
            self._phrases.keep_what_a_caption_holds("")
        return True
