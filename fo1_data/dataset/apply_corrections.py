"""A row with corrections applied: a pure function of the row and of the set of corrections.

Corrections are applied in their own order (time, ground truth last), whatever the order they come in, and
each one names its target, so the last word on a thing holds. What names nothing that the row has, or a
label that was another one by then, is left out and counted. Boxes are clipped to the image.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fo1_data.boxes import as_boxes, clip_boxes, have_area
from fo1_data.dataset.human_labels import (
    caption_label,
    confirmed,
    human_label,
    is_locked,
    made_stale,
    with_caption_label,
)
from fo1_data.dataset.region_names import RegionNames
from schemas.corrections import Correction, CorrectionAction
from schemas.images import Answer, Count, Grounding, ImageRow
from schemas.labels import Label, LabelKind, Source, strictest
from schemas.regions import Box, Region, make_region_id

TEXT_COLUMN = {
    LabelKind.BRIEF_CAPTION: "brief_caption",
    LabelKind.DETAILED_CAPTION: "detailed_caption",
    LabelKind.OCR: "text",
}


Part = TypeVar("Part", Grounding, Count)


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
    work = _Work(row, ordered)
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


class _Work:
    """A row taken apart: regions by their first name, everything else in lists that may be changed."""

    def __init__(self, row: ImageRow, ordered: Sequence[Correction]) -> None:
        self._row = row
        self._names = RegionNames(row, ordered)
        self._regions: dict[str, Region] = {}
        for region in row.regions:
            # Two boxes that a person moved onto one another are one region: the first.
            self._regions.setdefault(self._names.name(region.region_id) or region.region_id, region)
        self._groundings = [self._named(part) for part in row.groundings]
        self._counts = [self._named(part) for part in row.counts]
        self._answers = list(row.answers)
        self._caption, self._caption_label = row.caption, caption_label(row)

    def apply(self, one: Correction) -> bool:
        """Apply one correction; False where it names nothing that is there."""
        return _HANDLERS[one.action](self, one)

    def moved(self, one: Correction) -> bool:
        name = self._names.name(one.region_id)
        box = self._inside(one)
        if name is None or name not in self._regions or box is None:
            return False
        region = self._regions[name]
        if _same_box(region.box_xyxy, box) and region.box_source is Source.HUMAN:
            return True
        labels = [made_stale(label) for label in region.labels]
        update = {"box_xyxy": box, "box_source": Source.HUMAN, "objectness": None, "labels": labels}
        self._regions[name] = region.model_copy(update=update)
        return True

    def added(self, one: Correction) -> bool:
        name, box = self._names.name(one.new_region_id), self._inside(one)
        if name is None or box is None:
            return False
        old = self._regions.get(name)
        if old is None:
            region_id = make_region_id(self._row.image_id, box)
            self._regions[name] = Region(region_id=region_id, index=0, box_xyxy=box, box_source=Source.HUMAN)
        else:
            update = {"box_xyxy": box, "box_source": Source.HUMAN, "objectness": None}
            self._regions[name] = old.model_copy(update=update)
        return True

    def deleted(self, one: Correction) -> bool:
        name = self._names.name(one.region_id)
        if name is None or self._regions.pop(name, None) is None:
            return False
        self._groundings = [_without(part, name) for part in self._groundings]
        self._counts = [_one_less(part, name) for part in self._counts]
        return True

    def renamed(self, one: Correction) -> bool:
        """The region's class: it leaves the detection of its old word and joins that of the new one."""
        name = self._names.name(one.region_id)
        if name is None or name not in self._regions or one.after is None or one.after.text is None:
            return False
        old = one.before.text if one.before else None
        for index, part in enumerate(self._groundings):
            leaves = old is None or part.phrase.casefold() == old.casefold()
            stays = part.phrase.casefold() == one.after.text.casefold()
            if part.kind is LabelKind.DETECT and name in part.region_ids and leaves and not stays:
                left = [region for region in part.region_ids if region != name]
                self._groundings[index] = self._relisted(part, left, one)
        place = self._find(self._groundings, LabelKind.DETECT, one.after.text, None)
        if place is None:
            label = human_label(LabelKind.DETECT, one.after.text, one.annotator, one.at)
            new = Grounding(phrase=one.after.text, kind=LabelKind.DETECT, region_ids=[name], label=label)
            self._groundings.append(new)
        else:
            part = self._groundings[place]
            named = [*(region for region in part.region_ids if region != name), name]
            self._groundings[place] = self._relisted(part, named, one)
        return True

    def recaptioned(self, one: Correction) -> bool:
        text = one.after.text if one.after else None
        if text is None:
            return False
        if one.region_id is None:
            return self._recaption_image(one, text)
        name = self._names.name(one.region_id)
        column = TEXT_COLUMN.get(one.kind) if one.kind else None
        if name is None or name not in self._regions or column is None or one.kind is None:
            return False
        # A text that was read may be empty (there is none to read); an empty caption says nothing.
        label = human_label(one.kind, text, one.annotator, one.at) if text or column == "text" else None
        self._set_text(name, one.kind, label)
        return True

    def regrounded(self, one: Correction) -> bool:
        if one.after is None or one.after.region_ids is None or one.kind is None or one.subject is None:
            return False
        named = self._known(one.after.region_ids)
        place = self._find(self._groundings, one.kind, one.subject, one)
        if place is None:
            label = human_label(one.kind, one.subject, one.annotator, one.at)
            new = Grounding(phrase=one.subject, kind=one.kind, region_ids=named, label=label)
            self._groundings.append(new)
        else:
            self._groundings[place] = self._pointed(self._groundings[place], named, one)
        return True

    def recounted(self, one: Correction) -> bool:
        if one.after is None or one.after.count is None or one.subject is None:
            return False
        label = human_label(LabelKind.COUNT, str(one.after.count), one.annotator, one.at)
        place = self._find(self._counts, LabelKind.COUNT, one.subject, None)
        old = self._counts[place].region_ids if place is not None else []
        named = self._known(one.after.region_ids) if one.after.region_ids is not None else old
        # Regions that do not come to the person's number are not the ones that were counted.
        named = named if len(named) == one.after.count else []
        new = Count(phrase=one.subject, count=one.after.count, region_ids=named, label=label)
        if place is None:
            self._counts.append(new)
        else:
            self._counts[place] = new
        return True

    def answered(self, one: Correction) -> bool:
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

    def verdict(self, one: Correction) -> bool:
        """A right label is confirmed, a wrong one goes; one that was another by then is left alone."""
        if one.kind in TEXT_COLUMN:
            return self._judge_text(one)
        if one.kind is LabelKind.ASK:
            return _judge(self._answers, self._answer_place(one), one)
        if one.kind is LabelKind.COUNT:
            place = self._find(self._counts, one.kind, one.subject or "", None)
            said = one.before.count if one.before else None
            if place is not None and said is not None and self._counts[place].count != said:
                return False
            return _judge(self._counts, place, one)
        if one.subject is None:
            return self._judge_image_caption(one)
        place = self._find(self._groundings, one.kind, one.subject, one)
        if place is not None and one.before is not None and one.before.region_ids is not None:
            same = set(self._known(one.before.region_ids)) == set(self._known_here(place))
            place = place if same else None
        return _judge(self._groundings, place, one)

    def finish(self) -> ImageRow:
        """The row put together again: indices and ids by the boxes as they are now, decisions anew."""
        ids: dict[str, str] = {}
        regions: list[Region] = []
        for name, region in self._regions.items():
            region_id = make_region_id(self._row.image_id, region.box_xyxy)
            if region_id not in ids.values():
                decision = strictest(label.decision for label in region.labels)
                update = {"region_id": region_id, "index": len(regions), "decision": decision}
                regions.append(region.model_copy(update=update))
            ids[name] = region_id
        answers = [
            part.model_copy(update={"region_id": None if part.region_id is None else ids[name]})
            for part in self._answers
            if part.region_id is None or (name := self._names.name(part.region_id) or "") in ids
        ]
        row = self._row.model_copy(
            update={
                "regions": regions,
                "groundings": [_renamed_ids(part, ids) for part in self._groundings_left(ids)],
                "counts": [_renamed_ids(part, ids) for part in self._counts],
                "answers": answers,
                "caption": self._caption,
                "meta": with_caption_label(self._row.meta, self._caption_label),
            }
        )
        return row.model_copy(update={"decision": strictest(label.decision for label in row.all_labels())})

    def _groundings_left(self, ids: dict[str, str]) -> Iterator[Grounding]:
        """All groundings but those of an example that is gone (the phrase of one is its region's id)."""
        for part in self._groundings:
            if part.kind is not LabelKind.VISUAL_EXAMPLE:
                yield part
            elif (example := self._names.name(part.phrase)) is not None and example in ids:
                yield part.model_copy(update={"phrase": ids[example]})

    def _inside(self, one: Correction) -> Box | None:
        """The new box as it is stored: clipped, float32; None where nothing of it is in the image."""
        if one.after is None or one.after.box_xyxy is None:
            return None
        box = clip_boxes(as_boxes([one.after.box_xyxy]), (self._row.width, self._row.height))
        if not have_area(box)[0]:
            return None
        x_min, y_min, x_max, y_max = box[0].tolist()
        return x_min, y_min, x_max, y_max

    def _named(self, part: Part) -> Part:
        return part.model_copy(update={"region_ids": self._known(part.region_ids)})

    def _known(self, region_ids: Iterable[str]) -> list[str]:
        """First names, each once, of the ids that name a region."""
        names = (self._names.name(region_id) for region_id in region_ids)
        return list(dict.fromkeys(name for name in names if name is not None))

    def _known_here(self, place: int) -> list[str]:
        return self._groundings[place].region_ids

    def _pointed(self, part: Grounding, named: list[str], one: Correction) -> Grounding:
        label = human_label(part.kind, part.label.text, one.annotator, one.at)
        return part.model_copy(update={"region_ids": named, "label": label})

    def _relisted(self, part: Grounding, named: list[str], one: Correction) -> Grounding:
        """A detection after one of its regions was renamed: nobody has spoken of its other regions."""
        if is_locked(part.label) or set(named) <= {self._names.name(one.region_id)}:
            return self._pointed(part, named, one)
        return part.model_copy(update={"region_ids": named})

    def _find(
        self, parts: Sequence[Part], kind: LabelKind | None, phrase: str, one: Correction | None
    ) -> int | None:
        """The place of the label about a phrase; of several, the one that named the regions of `before`."""
        same = [
            place
            for place, part in enumerate(parts)
            if part.label.kind is kind and part.phrase.casefold() == phrase.casefold()
        ]
        if one is not None and one.before is not None and one.before.region_ids is not None:
            wanted = set(self._known(one.before.region_ids))
            exact = [place for place in same if set(parts[place].region_ids) == wanted]
            same = exact or same
        return same[0] if same else None

    def _answer_place(self, one: Correction) -> int | None:
        region = self._names.name(one.region_id)
        for place, part in enumerate(self._answers):
            if part.question == one.subject and self._names.name(part.region_id) == region:
                return place
        return None

    def _recaption_image(self, one: Correction, text: str) -> bool:
        """The image's caption; grounded phrases of a model that it no longer holds go with the old one."""
        self._caption = text or None
        self._caption_label = human_label(LabelKind.GROUNDED_CAPTION, text, one.annotator, one.at)
        self._groundings = [
            part
            for part in self._groundings
            if part.kind is not LabelKind.GROUNDED_CAPTION or is_locked(part.label) or part.phrase in text
        ]
        return True

    def _judge_text(self, one: Correction) -> bool:
        name = self._names.name(one.region_id)
        region = self._regions.get(name) if name is not None else None
        if region is None or name is None or one.kind is None:
            return False
        label = next((label for label in reversed(region.labels) if _is_answer(label, one.kind)), None)
        said = one.before.text if one.before else None
        if label is None or (said is not None and label.text != said):
            return False
        self._set_text(name, one.kind, confirmed(label, one.annotator, one.at) if one.right else None)
        return True

    def _judge_image_caption(self, one: Correction) -> bool:
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
        return True

    def _set_text(self, name: str, kind: LabelKind, label: Label | None) -> None:
        region = self._regions[name]
        kept = [one for one in region.labels if not _is_answer(one, kind)]
        update: dict[str, object] = {
            "labels": [*kept, label] if label is not None else kept,
            TEXT_COLUMN[kind]: label.text if label is not None else None,
        }
        self._regions[name] = region.model_copy(update=update)


_HANDLERS: dict[CorrectionAction, Callable[[_Work, Correction], bool]] = {
    CorrectionAction.VERDICT: _Work.verdict,
    CorrectionAction.MOVED: _Work.moved,
    CorrectionAction.ADDED: _Work.added,
    CorrectionAction.DELETED: _Work.deleted,
    CorrectionAction.RENAMED: _Work.renamed,
    CorrectionAction.RECAPTIONED: _Work.recaptioned,
    CorrectionAction.REGROUNDED: _Work.regrounded,
    CorrectionAction.RECOUNTED: _Work.recounted,
    CorrectionAction.ANSWERED: _Work.answered,
}


def _judge(parts: list[Any], place: int | None, one: Correction) -> bool:
    if place is None:
        return False
    if one.right:
        label = confirmed(parts[place].label, one.annotator, one.at)
        parts[place] = parts[place].model_copy(update={"label": label})
    else:
        del parts[place]
    return True


def _renamed_ids(part: Part, ids: dict[str, str]) -> Part:
    named = list(dict.fromkeys(ids[name] for name in part.region_ids if name in ids))
    return part.model_copy(update={"region_ids": named})


def _without(part: Part, name: str) -> Part:
    left = [region for region in part.region_ids if region != name]
    return part.model_copy(update={"region_ids": left}) if len(left) < len(part.region_ids) else part


def _one_less(part: Count, name: str) -> Count:
    """A count without a region that a person has deleted; a model's number of regions goes down with it."""
    left = _without(part, name)
    if left is part or is_locked(part.label) or part.count != len(part.region_ids):
        return left
    label = part.label.model_copy(update={"text": str(part.count - 1)})
    return left.model_copy(update={"count": part.count - 1, "label": label})


def _is_answer(label: Label, kind: LabelKind) -> bool:
    return label.kind is kind and label.source is not Source.CORPUS


def _same_box(one: Box, other: Box) -> bool:
    return bool((as_boxes([one]) == as_boxes([other])).all())
