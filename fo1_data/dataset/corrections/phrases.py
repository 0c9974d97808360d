"""The phrases of a row while corrections are applied: groundings, detections and counts.

Each method applies one correction and says whether it found what it names. Regions go by their first name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from fo1_data.dataset.corrections.region_names import RegionNames
from fo1_data.dataset.human_labels import confirmed, human_label, is_locked
from schemas.corrections import Correction
from schemas.images import Answer, Count, Grounding, ImageRow
from schemas.labels import LabelKind

Part = TypeVar("Part", Grounding, Count)
Judged = TypeVar("Judged", Grounding, Count, Answer)


class CorrectedPhrases:
    """Groundings and counts, each a list that may be changed."""

    def __init__(self, row: ImageRow, names: RegionNames) -> None:
        self._names = names
        self._groundings = [self._named(part) for part in row.groundings]
        self._counts = [self._named(part) for part in row.counts]

    def forget(self, region_id: str | None) -> None:
        """Take a region that is gone out of what named it."""
        name = self._names.name(region_id)
        if name is not None:
            self._groundings = [_without(part, name) for part in self._groundings]
            self._counts = [_one_less(part, name) for part in self._counts]

    def rename(self, one: Correction) -> bool:
        """The region's class: it leaves the detection of its old word and joins that of the new one."""
        name = self._names.name(one.region_id)
        if name is None or one.after is None or one.after.text is None:
            return False
        self._leave_other_words(one, name, one.after.text)
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

    def reground(self, one: Correction) -> bool:
        """The regions that a phrase means."""
        if one.after is None or one.after.region_ids is None or one.kind is None or one.subject is None:
            return False
        if one.kind is LabelKind.VISUAL_EXAMPLE and self._names.name(one.subject) is None:
            return False
        named = self._known(one.after.region_ids)
        place = self._find(self._groundings, one.kind, one.subject, one)
        if place is None:
            label = human_label(one.kind, one.subject, one.annotator, one.at)
            new = Grounding(phrase=one.subject, kind=one.kind, region_ids=named, label=label)
            self._groundings.append(new)
        else:
            self._groundings[place] = _pointed(self._groundings[place], named, one)
        return True

    def recount(self, one: Correction) -> bool:
        """How many there are of a phrase."""
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

    def judge_count(self, one: Correction) -> bool:
        """A right count is confirmed, a wrong one goes; another number by then is left alone."""
        place = self._find(self._counts, LabelKind.COUNT, one.subject or "", None)
        said = one.before.count if one.before else None
        if place is not None and said is not None and self._counts[place].count != said:
            return False
        return judge(self._counts, place, one)

    def judge_grounding(self, one: Correction) -> bool:
        """A right grounding is confirmed, a wrong one goes; one of other regions by then is left alone."""
        place = self._find(self._groundings, one.kind, one.subject or "", one)
        if place is not None and one.before is not None and one.before.region_ids is not None:
            same = set(self._known(one.before.region_ids)) == set(self._groundings[place].region_ids)
            place = place if same else None
        return judge(self._groundings, place, one)

    def keep_what_a_caption_holds(self, text: str) -> None:
        """Grounded phrases of a model that the image's new caption no longer holds go with the old one."""
        self._groundings = [
            part
            for part in self._groundings
            if part.kind is not LabelKind.GROUNDED_CAPTION or is_locked(part.label) or part.phrase in text
        ]

    def finish(self, ids: Mapping[str, str]) -> tuple[list[Grounding], list[Count]]:
        """Groundings and counts with the regions' ids as they are now, of those regions that are left."""
        groundings = [_renamed_ids(part, ids) for part in self._groundings_left(ids)]
        return groundings, [_renamed_ids(part, ids) for part in self._counts]

    def _groundings_left(self, ids: Mapping[str, str]) -> Iterator[Grounding]:
        """All groundings but those of an example that is gone (the phrase of one is its region's id)."""
        for part in self._groundings:
            if part.kind is not LabelKind.VISUAL_EXAMPLE:
                yield part
            elif (example := self._names.name(part.phrase)) is not None and example in ids:
                yield part.model_copy(update={"phrase": ids[example]})

    def _leave_other_words(self, one: Correction, name: str, new: str) -> None:
        old = one.before.text if one.before else None
        for index, part in enumerate(self._groundings):
            leaves = old is None or part.phrase.casefold() == old.casefold()
            stays = part.phrase.casefold() == new.casefold()
            if part.kind is LabelKind.DETECT and name in part.region_ids and leaves and not stays:
                left = [region for region in part.region_ids if region != name]
                self._groundings[index] = self._relisted(part, left, one)

    def _relisted(self, part: Grounding, named: list[str], one: Correction) -> Grounding:
        """A detection after one of its regions was renamed: nobody has spoken of its other regions."""
        if is_locked(part.label) or set(named) <= {self._names.name(one.region_id)}:
            return _pointed(part, named, one)
        return part.model_copy(update={"region_ids": named})

    def _find(
        self, parts: Sequence[Part], kind: LabelKind | None, phrase: str, one: Correction | None
    ) -> int | None:
        """The place of the label about a phrase; of several, the one that named the regions of `before`."""
        same = [
            place
            for place, part in enumerate(parts)
            if part.label.kind is kind and self._is_same(kind, part.phrase, phrase)
        ]
        if one is not None and one.before is not None and one.before.region_ids is not None:
            wanted = set(self._known(one.before.region_ids))
            exact = [place for place in same if set(parts[place].region_ids) == wanted]
            same = exact or same
        return same[0] if same else None

    def _is_same(self, kind: LabelKind | None, one: str, other: str) -> bool:
        """Whether two phrases are the same; those of examples are ids of regions, which a move changes."""
        if kind is LabelKind.VISUAL_EXAMPLE:
            return one == other or (self._names.name(one) or one) == (self._names.name(other) or other)
        return one.casefold() == other.casefold()

    def _named(self, part: Part) -> Part:
        return part.model_copy(update={"region_ids": self._known(part.region_ids)})

    def _known(self, region_ids: Iterable[str]) -> list[str]:
        """First names, each once, of the ids that name a region."""
        names = (self._names.name(region_id) for region_id in region_ids)
        return list(dict.fromkeys(name for name in names if name is not None))


def judge(parts: list[Judged], place: int | None, one: Correction) -> bool:
    """Confirm the part at a place, or take it out; False where there is none."""
    if place is None:
        return False
    if one.right:
        label = confirmed(parts[place].label, one.annotator, one.at)
        parts[place] = parts[place].model_copy(update={"label": label})
    else:
        del parts[place]
    return True


def _pointed(part: Grounding, named: list[str], one: Correction) -> Grounding:
    label = human_label(part.kind, part.label.text, one.annotator, one.at)
    return part.model_copy(update={"region_ids": named, "label": label})


def _renamed_ids(part: Part, ids: Mapping[str, str]) -> Part:
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
