"""A row with corrections applied: a pure function of the row and of the set of corrections.

Corrections are applied by time, ground truth last, in whatever order they are given. Each names its
target, and the last correction of a target holds. A correction whose target is not in the row, or whose
label has another text by then, is left out and listed. Regions are corrected in `regions`, phrases in
`phrases`; this file corrects the image's caption and its answers.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fo1_data.corpus.region_meta import REGION_META, region_metas, with_region_metas
from fo1_data.dataset.corrections.phrases import CorrectedPhrases, judge
from fo1_data.dataset.corrections.region_names import RegionNames, in_order
from fo1_data.dataset.corrections.regions import CorrectedRegions, is_another_box
from fo1_data.dataset.human_labels import confirmed, human_label, made_stale
from schemas.corrections import Correction, CorrectionAction
from schemas.images import Answer, ImageRow
from schemas.labels import Label, LabelKind, Source, strictest
from schemas.regions import TEXT_COLUMNS, Region


@dataclass(frozen=True)
class Applied:
    """A corrected row, the corrections that took effect, and those that did not."""

    row: ImageRow
    done: list[Correction] = field(default_factory=list)
    left_out: list[Correction] = field(default_factory=list)


def apply_corrections(
    row: ImageRow, corrections: Iterable[Correction], since: Collection[Correction] | None = None
) -> Applied:
    """The row as people have corrected it; corrections of other images and of tracks are ignored.

    `since`: the row holds the other corrections already, so only these and what comes after them is applied.
    """
    of_row = {
        correction.correction_id: correction
        for correction in corrections
        if correction.image_id == row.image_id and not correction.is_of_track
    }
    ordered = in_order(of_row.values())
    work = _CorrectedRow(row, ordered)
    if since is not None:
        first = min((correction.order for correction in since), default=None)
        ordered = [correction for correction in ordered if first is not None and correction.order >= first]
    done: list[Correction] = []
    left_out: list[Correction] = []
    for correction in ordered:
        (done if work.apply(correction) else left_out).append(correction)
    return Applied(work.finish(), done, left_out)


class _CorrectedRow:
    """The parts of a row while corrections are applied."""

    def __init__(self, row: ImageRow, ordered: Sequence[Correction]) -> None:
        self._row = row
        self._names = RegionNames(row, ordered)
        self._regions = CorrectedRegions(row, self._names)
        self._phrases = CorrectedPhrases(row, self._names, self._regions)
        self._answers = list(row.answers)
        self._caption, self._caption_label = row.caption, row.caption_label

    def apply(self, correction: Correction) -> bool:
        """Apply one correction; False if its target is not there."""
        handlers: dict[CorrectionAction, Callable[[Correction], bool]] = {
            CorrectionAction.VERDICT: self._judge,
            CorrectionAction.MOVED: self._move,
            CorrectionAction.ADDED: self._add,
            CorrectionAction.DELETED: self._delete,
            CorrectionAction.RENAMED: self._rename,
            CorrectionAction.RECAPTIONED: self._recaption,
            CorrectionAction.REGROUNDED: self._phrases.reground,
            CorrectionAction.RECOUNTED: self._phrases.recount,
            CorrectionAction.ANSWERED: self._answer,
        }
        return handlers[correction.action](correction)

    def finish(self) -> ImageRow:
        """The corrected row, with indices, ids and decisions made anew."""
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
                "meta": self._meta(regions, ids),
                "caption": self._caption,
                "caption_label": self._caption_label,
            }
        )
        return row.model_copy(update={"decision": strictest(label.decision for label in row.all_labels())})

    def _meta(self, regions: Sequence[Region], ids: Mapping[str, str]) -> str | None:
        """`meta` with what the source says of each region at the region's place; of a drawn one nothing."""
        if REGION_META not in (self._row.meta or ""):
            return self._row.meta
        meta = json.loads(self._row.meta or "{}")
        metas = region_metas(meta, len(self._row.regions))
        if metas is None:
            return self._row.meta
        said = {
            ids.get(self._names.name(region.region_id) or ""): of_region
            for region, of_region in zip(self._row.regions, metas, strict=True)
        }
        now = [said.get(region.region_id, {}) for region in regions]
        if now == metas:
            return self._row.meta
        changed = with_region_metas(meta, now)
        return json.dumps(changed, ensure_ascii=False, sort_keys=True) if changed else None

    def _move(self, correction: Correction) -> bool:
        name = self._names.name(correction.region_id)
        before = self._regions.box(name)
        if not self._regions.move(correction):
            return False
        after = self._regions.box(name)
        if name is not None and before is not None and after is not None and before != after:
            is_another = is_another_box(before, after)
            self._phrases.region_moved(name, is_another)
            self._answers = [
                part.model_copy(update={"label": made_stale(part.label, locked_too=is_another)})
                if self._names.name(part.region_id) == name
                else part
                for part in self._answers
            ]
        return True

    def _add(self, correction: Correction) -> bool:
        is_new = self._names.name(correction.new_region_id) not in self._regions
        if not self._regions.add(correction):
            return False
        if is_new:
            self._phrases.region_added()
        return True

    def _delete(self, correction: Correction) -> bool:
        name = self._names.name(correction.region_id)
        if name is None or not self._regions.delete(correction):
            return False
        self._phrases.region_deleted(name)
        return True

    def _rename(self, correction: Correction) -> bool:
        return self._names.name(correction.region_id) in self._regions and self._phrases.rename(correction)

    def _recaption(self, correction: Correction) -> bool:
        text = correction.after.text if correction.after else None
        if text is None:
            return False
        if correction.region_id is not None:
            return self._regions.write(correction, text)
        self._caption = text or None
        self._caption_label = human_label(
            LabelKind.GROUNDED_CAPTION, text, correction.annotator, correction.at
        )
        self._phrases.keep_what_a_caption_holds(text)
        return True

    def _answer(self, correction: Correction) -> bool:
        if correction.after is None or correction.after.text is None or correction.subject is None:
            return False
        region = self._names.name(correction.region_id)
        if correction.region_id is not None and region not in self._regions:
            return False
        label = human_label(LabelKind.ASK, correction.after.text, correction.annotator, correction.at)
        new = Answer(question=correction.subject, region_id=region, answer=correction.after.text, label=label)
        place = self._answer_place(correction)
        if place is None:
            self._answers.append(new)
        else:
            self._answers[place] = new
        return True

    def _answer_place(self, correction: Correction) -> int | None:
        region = self._names.name(correction.region_id)
        for place, part in enumerate(self._answers):
            if part.question == correction.subject and self._names.name(part.region_id) == region:
                return place
        return None

    def _judge(self, correction: Correction) -> bool:
        """Confirm a right label, remove a wrong one; one with another text by then stays as it is."""
        if correction.kind in TEXT_COLUMNS:
            return self._regions.judge(correction)
        if correction.kind is LabelKind.ASK:
            return self._judge_answer(correction)
        if correction.kind is LabelKind.COUNT:
            return self._phrases.judge_count(correction)
        if correction.subject is None:
            return self._judge_caption(correction)
        return self._phrases.judge_grounding(correction)

    def _judge_answer(self, correction: Correction) -> bool:
        place = self._answer_place(correction)
        text_before = correction.before.text if correction.before else None
        if place is not None and text_before is not None and self._answers[place].answer != text_before:
            return False
        return judge(self._answers, place, correction)

    def _judge_caption(self, correction: Correction) -> bool:
        text_before = correction.before.text if correction.before else None
        if self._caption is None or (text_before is not None and self._caption != text_before):
            return False
        if correction.right:
            model_captioned = any(part.kind is LabelKind.GROUNDED_CAPTION for part in self._row.groundings)
            source = Source.MODEL if model_captioned else Source.CORPUS
            label = Label(kind=LabelKind.GROUNDED_CAPTION, text=self._caption, source=source)
            self._caption_label = confirmed(self._caption_label or label, correction.annotator, correction.at)
        else:
            self._caption = self._caption_label = None
            self._phrases.keep_what_a_caption_holds("")
        return True
