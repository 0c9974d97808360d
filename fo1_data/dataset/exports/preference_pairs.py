"""What corrections changed, as training data: preference pairs and hard negatives.

Both are made from a row before and after its corrections, so that only the last correction of a target
counts. Boxes: absolute pixels of the upright image, x_min y_min x_max y_max.

    preference   a question with the answer that a person gave (chosen) and the model's (rejected)
    hard negative  what is not so although the model said it: `false_region` (a box of nothing), `moved`
                 (a box that was off), `missed` (a box nobody proposed), `wrong_text`, `wrong_phrase` (a
                 region that a phrase does not name), `wrong_class`, `wrong_example` (a region that is not
                 of an example's kind; `example`: the example's box)
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fo1_data.dataset.corrections.region_names import RegionNames
from fo1_data.dataset.exports.messages import (
    EXAMPLE_QUESTION,
    TEXT_QUESTIONS,
    box_text,
    boxes_text,
    own_question,
)
from fo1_data.dataset.human_labels import is_vouched_for
from schemas.corrections import Correction, CorrectionAction
from schemas.images import Grounding, ImageRow
from schemas.labels import LabelKind
from schemas.regions import TEXT_COLUMNS, Region


@dataclass(frozen=True)
class Preference:
    """A question about an image with the preferred answer and the rejected answer."""

    kind: str
    question: str
    chosen: str
    rejected: str


class RowDiff:
    """A row before and after its corrections, region by region."""

    def __init__(self, original: ImageRow, row: ImageRow, corrections: Sequence[Correction]) -> None:
        self._original, self._row, self._corrections = original, row, corrections
        names = RegionNames(original, corrections)
        self._before = {names.name(region.region_id): region for region in original.regions}
        self._after = {names.name(region.region_id): region for region in row.regions}
        self._names = names
        self._spoken_of = {(names.name(one.region_id), one.kind) for one in corrections if one.region_id}
        self._boxes = {region.region_id: box_text(region) for region in (*original.regions, *row.regions)}

    def preferences(self) -> Iterator[Preference]:
        """A pair for every text, caption, pointing answer, count or answer that a person changed."""
        for name, region in self._after.items():
            old = self._before.get(name)
            if old is not None:
                yield from self._text_pairs(old, region)
        yield from self._pointing_pairs()
        caption_before, caption = self._original.caption, self._row.caption
        if caption_before and caption and caption_before != caption and self._row.caption_label is not None:
            yield Preference("caption", "Describe the image.", caption, caption_before)
        old_counts = {part.phrase.casefold(): part.count for part in self._original.counts}
        for count in self._row.counts:
            count_before = old_counts.get(count.phrase.casefold())
            if count_before is not None and count_before != count.count and is_vouched_for(count.label):
                question = f"How many of these are there: {count.phrase}?"
                yield Preference("count", question, str(count.count), str(count_before))
        old_answers = {
            (part.question, self._names.name(part.region_id)): part.answer for part in self._original.answers
        }
        for answer in self._row.answers:
            answer_before = old_answers.get((answer.question, self._names.name(answer.region_id)))
            if answer_before is not None and answer_before != answer.answer and is_vouched_for(answer.label):
                yield Preference("ask", own_question(answer, self._boxes), answer.answer, answer_before)
        for region, was_class, is_class in self._classes():
            question = f"What is in the region {box_text(region)}? Answer with its class."
            yield Preference("class", question, is_class, was_class)

    def hard_negatives(self) -> Iterator[dict[str, Any]]:
        """What the model said and a person corrected, and what the model missed."""
        for name, old in self._before.items():
            new = self._after.get(name)
            if new is None:
                yield {"kind": "false_region", "box_xyxy": list(old.box_xyxy), "text": old.brief_caption}
                continue
            if old.box_xyxy != new.box_xyxy:
                yield {"kind": "moved", "box_xyxy": list(old.box_xyxy), "right": list(new.box_xyxy)}
            for kind, was, now in self._changed_texts(old, new):
                box = list(new.box_xyxy)
                yield {"kind": "wrong_text", "label": kind, "box_xyxy": box, "text": was, "right": now}
        for name, new in self._after.items():
            if name not in self._before:
                human_texts = [label.text for label in new.labels if is_vouched_for(label)]
                right = new.brief_caption if new.brief_caption in human_texts else None
                yield {"kind": "missed", "box_xyxy": list(new.box_xyxy), "right": right}
        for new, was, now in self._classes():
            yield {"kind": "wrong_class", "box_xyxy": list(new.box_xyxy), "text": was, "right": now}
        yield from self._wrong_phrases()

    def _text_pairs(self, old: Region, new: Region) -> Iterator[Preference]:
        for kind, was, now in self._changed_texts(old, new):
            if now:
                yield Preference(kind.value, TEXT_QUESTIONS[kind].format(place=box_text(new)), now, was)

    def _changed_texts(self, old: Region, new: Region) -> Iterator[tuple[LabelKind, str, str | None]]:
        """Kind, text before, and the text that a person wrote (None if a person removed it)."""
        name = self._names.name(old.region_id)
        for kind, column in TEXT_COLUMNS.items():
            was, now = getattr(old, column), getattr(new, column)
            by_person = any(label.kind is kind and is_vouched_for(label) for label in new.labels)
            # Publishing leaves texts out too, and says nothing of them.
            is_removed = now is None and (name, kind) in self._spoken_of
            if was and was != now and (by_person or is_removed):
                yield kind, was, now

    def _pointing_pairs(self) -> Iterator[Preference]:
        for part, was in self._phrases():
            chosen = boxes_text(part.region_ids, self._boxes) or "There is none."
            rejected = boxes_text(was, self._boxes) or "There is none."
            if chosen != rejected:
                yield Preference(*self._pointing_question(part), chosen, rejected)

    def _pointing_question(self, part: Grounding) -> tuple[str, str]:
        if part.kind is LabelKind.VISUAL_EXAMPLE:
            return part.kind.value, EXAMPLE_QUESTION.format(place=self._boxes.get(part.phrase, ""))
        return "ground", f"Where is {part.phrase}? Answer with boxes."

    def _wrong_phrases(self) -> Iterator[dict[str, Any]]:
        right: dict[str, set[str | None]] = {}
        for part in self._row.groundings:
            right.setdefault(self._phrase_key(part), set()).update(map(self._names.name, part.region_ids))
        for part, was in self._phrases():
            about: dict[str, Any] = {"kind": "wrong_phrase", "text": part.phrase}
            if part.kind is LabelKind.VISUAL_EXAMPLE:
                example = self._after.get(self._names.name(part.phrase))
                about = {"kind": "wrong_example", "example": list(example.box_xyxy) if example else None}
            for name in map(self._names.name, was):
                region = self._after.get(name)
                if region is not None and name not in right[self._phrase_key(part)]:
                    yield {**about, "box_xyxy": list(region.box_xyxy)}

    def _phrases(self) -> Iterator[tuple[Grounding, list[str]]]:
        """Phrases and examples that a person corrected or confirmed, with the region ids named before."""
        was = {key: part.region_ids for key, part in self._pointing(self._original)}
        for key, part in self._pointing(self._row):
            if key in was and is_vouched_for(part.label):
                yield part, was[key]

    def _pointing(self, row: ImageRow) -> Iterator[tuple[tuple[LabelKind, str, int], Grounding]]:
        """The phrases of a row by key; equal phrases are numbered."""
        seen: Counter[tuple[LabelKind, str]] = Counter()
        for part in row.groundings:
            if part.kind is not LabelKind.GROUNDED_CAPTION:
                alike = (part.kind, self._phrase_key(part))
                yield (*alike, seen[alike]), part
                seen[alike] += 1

    def _phrase_key(self, part: Grounding) -> str:
        """The text of a phrase; of an example the first name of its region."""
        if part.kind is LabelKind.VISUAL_EXAMPLE:
            return f"{part.kind}|{self._names.name(part.phrase)}"
        return part.phrase.casefold()

    def _classes(self) -> Iterator[tuple[Region, str, str]]:
        """Region, its class before, and the class that people gave it last."""
        was: dict[str | None, str] = {}
        now: dict[str | None, str] = {}
        for correction in sorted(self._corrections, key=lambda correction: correction.at):
            if correction.action is CorrectionAction.RENAMED and correction.after and correction.after.text:
                name = self._names.name(correction.region_id)
                now[name] = correction.after.text
                was.setdefault(name, (correction.before and correction.before.text) or "")
        for name, text in now.items():
            region = self._after.get(name)
            if region is not None and was[name] and was[name] != text:
                yield region, was[name], text
