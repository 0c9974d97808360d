"""The phrases of a row while corrections are applied: groundings, detections and counts.

Each method applies one correction and returns whether its target was there. Regions go by their first name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from fo1_data.dataset.corrections.region_names import RegionNames
from fo1_data.dataset.corrections.regions import CorrectedRegions
from fo1_data.dataset.human_labels import (
    BOX_ADDED,
    BOX_DELETED,
    BOX_MOVED,
    confirmed,
    human_label,
    is_locked,
    made_stale,
)
from schemas.corrections import Correction
from schemas.images import Answer, Count, Grounding, ImageRow
from schemas.labels import LabelKind

Part = TypeVar("Part", Grounding, Count)
Judged = TypeVar("Judged", Grounding, Count, Answer)


class CorrectedPhrases:
    """The groundings and counts of a row, to be changed."""

    def __init__(self, row: ImageRow, names: RegionNames, regions: CorrectedRegions) -> None:
        self._names, self._regions = names, regions
        self._groundings = [self._named(part) for part in row.groundings]
        self._counts = [self._named(part) for part in row.counts]

    def region_deleted(self, name: str) -> None:
        """Take a deleted region out of the phrases that named it: they are stale."""
        self._groundings = [_without(part, name) for part in self._groundings]
        self._counts = [_without_counted(part, name) for part in self._counts]

    def region_moved(self, name: str, is_another: bool) -> None:
        """Phrases that name a moved region are stale; `is_another`: a person's too, and all others."""

        def moved(part: Part) -> Part:
            if name in part.region_ids:
                return _stale(part, BOX_MOVED, locked_too=is_another)
            return _stale(part, BOX_ADDED, locked_too=True) if is_another else part

        self._groundings = [moved(part) for part in self._groundings]
        self._counts = [moved(part) for part in self._counts]

    def region_added(self) -> None:
        """All phrases are stale: whether they mean the new region, nobody has said."""
        self._groundings = [_stale(part, BOX_ADDED, locked_too=True) for part in self._groundings]
        self._counts = [_stale(part, BOX_ADDED, locked_too=True) for part in self._counts]

    def rename(self, correction: Correction) -> bool:
        """Give a region another class: it leaves the detection of the old word and joins the new one's."""
        name = self._names.name(correction.region_id)
        if name is None or correction.after is None or correction.after.text is None:
            return False
        self._leave_other_words(correction, name, correction.after.text)
        place = self._find(self._groundings, LabelKind.DETECT, correction.after.text, None)
        if place is None:
            label = human_label(LabelKind.DETECT, correction.after.text, correction.annotator, correction.at)
            new = Grounding(
                phrase=correction.after.text, kind=LabelKind.DETECT, region_ids=[name], label=label
            )
            self._groundings.append(new)
        else:
            part = self._groundings[place]
            named = [*(region for region in part.region_ids if region != name), name]
            self._groundings[place] = self._relisted(part, named, correction)
        return True

    def reground(self, correction: Correction) -> bool:
        """Set the regions that a phrase names."""
        if (
            correction.after is None
            or correction.after.region_ids is None
            or correction.kind is None
            or correction.subject is None
        ):
            return False
        if correction.kind is LabelKind.VISUAL_EXAMPLE and self._names.name(correction.subject) is None:
            return False
        named = self._known(correction.after.region_ids)
        place = self._find(self._groundings, correction.kind, correction.subject, correction)
        if place is None:
            label = human_label(correction.kind, correction.subject, correction.annotator, correction.at)
            new = Grounding(phrase=correction.subject, kind=correction.kind, region_ids=named, label=label)
        else:
            new = _pointed(self._groundings[place], named, correction)
        if not self._are_there(correction.after.region_ids):
            new = _stale(new, BOX_DELETED, locked_too=True)
        if place is None:
            self._groundings.append(new)
        else:
            self._groundings[place] = new
        return True

    def recount(self, correction: Correction) -> bool:
        """Set the number of instances of a phrase."""
        if correction.after is None or correction.after.count is None or correction.subject is None:
            return False
        label = human_label(LabelKind.COUNT, str(correction.after.count), correction.annotator, correction.at)
        place = self._find(self._counts, LabelKind.COUNT, correction.subject, None)
        old = self._counts[place].region_ids if place is not None else []
        named = self._known(correction.after.region_ids) if correction.after.region_ids is not None else old
        # If their number differs from the person's, they are not the regions that were counted.
        named = named if len(named) == correction.after.count else []
        new = Count(phrase=correction.subject, count=correction.after.count, region_ids=named, label=label)
        if place is None:
            self._counts.append(new)
        else:
            self._counts[place] = new
        return True

    def judge_count(self, correction: Correction) -> bool:
        """Confirm a right count, remove a wrong one; another number by then stays as it is."""
        place = self._find(self._counts, LabelKind.COUNT, correction.subject or "", None)
        count_before = correction.before.count if correction.before else None
        if place is not None and count_before is not None and self._counts[place].count != count_before:
            return False
        return judge(self._counts, place, correction)

    def judge_grounding(self, correction: Correction) -> bool:
        """Confirm a right grounding, remove a wrong one; one of other regions by then stays as it is."""
        place = self._find(self._groundings, correction.kind, correction.subject or "", correction)
        if place is not None and correction.before is not None and correction.before.region_ids is not None:
            before = correction.before.region_ids
            same = set(self._known(before)) == set(self._groundings[place].region_ids)
            place = place if same and self._are_there(before) else None
        return judge(self._groundings, place, correction)

    def keep_what_a_caption_holds(self, text: str) -> None:
        """Remove the model's grounded phrases that do not occur in the image's new caption."""
        self._groundings = [
            part
            for part in self._groundings
            if part.kind is not LabelKind.GROUNDED_CAPTION or is_locked(part.label) or part.phrase in text
        ]

    def finish(self, ids: Mapping[str, str]) -> tuple[list[Grounding], list[Count]]:
        """Groundings and counts with new region ids. `ids`: by first name, of the regions that remain."""
        groundings = [_renamed_ids(part, ids) for part in self._groundings_left(ids)]
        return groundings, [_renamed_ids(part, ids) for part in self._counts]

    def _groundings_left(self, ids: Mapping[str, str]) -> Iterator[Grounding]:
        """All groundings but those of a deleted example (the phrase of an example is its region's id)."""
        for part in self._groundings:
            if part.kind is not LabelKind.VISUAL_EXAMPLE:
                yield part
            elif (example := self._names.name(part.phrase)) is not None and example in ids:
                yield part.model_copy(update={"phrase": ids[example]})

    def _leave_other_words(self, correction: Correction, name: str, new: str) -> None:
        old = correction.before.text if correction.before else None
        for index, part in enumerate(self._groundings):
            leaves = old is None or part.phrase.casefold() == old.casefold()
            stays = part.phrase.casefold() == new.casefold()
            if part.kind is LabelKind.DETECT and name in part.region_ids and leaves and not stays:
                remaining = [region for region in part.region_ids if region != name]
                self._groundings[index] = self._relisted(part, remaining, correction)

    def _relisted(self, part: Grounding, named: list[str], correction: Correction) -> Grounding:
        """A detection after one of its regions was renamed: nobody has judged its other regions."""
        if is_locked(part.label) or set(named) <= {self._names.name(correction.region_id)}:
            return _pointed(part, named, correction)
        return part.model_copy(update={"region_ids": named})

    def _find(
        self, parts: Sequence[Part], kind: LabelKind | None, phrase: str, correction: Correction | None
    ) -> int | None:
        """The place of the label of a phrase; of several, the one that named the regions of `before`."""
        same = [
            place
            for place, part in enumerate(parts)
            if part.label.kind is kind and self._is_same(kind, part.phrase, phrase)
        ]
        if (
            correction is not None
            and correction.before is not None
            and correction.before.region_ids is not None
        ):
            names = set(self._known(correction.before.region_ids))
            exact = [place for place in same if set(parts[place].region_ids) == names]
            same = exact or same
        return same[0] if same else None

    def _is_same(self, kind: LabelKind | None, phrase: str, other_phrase: str) -> bool:
        """Whether two phrases are equal; those of examples are region ids, which a move changes."""
        if kind is LabelKind.VISUAL_EXAMPLE:
            return phrase == other_phrase or (self._names.name(phrase) or phrase) == (
                self._names.name(other_phrase) or other_phrase
            )
        return phrase.casefold() == other_phrase.casefold()

    def _are_there(self, region_ids: Iterable[str]) -> bool:
        """Whether every id names a region that is there now."""
        return all(self._names.name(region_id) in self._regions for region_id in region_ids)

    def _named(self, part: Part) -> Part:
        return part.model_copy(update={"region_ids": self._known(part.region_ids)})

    def _known(self, region_ids: Iterable[str]) -> list[str]:
        """First names, each once, of the ids that name a region."""
        names = (self._names.name(region_id) for region_id in region_ids)
        return list(dict.fromkeys(name for name in names if name is not None))


def judge(parts: list[Judged], place: int | None, correction: Correction) -> bool:
    """Confirm or remove the part at a place; False if there is none."""
    if place is None:
        return False
    if correction.right:
        label = confirmed(parts[place].label, correction.annotator, correction.at)
        parts[place] = parts[place].model_copy(update={"label": label})
    else:
        del parts[place]
    return True


def _pointed(part: Grounding, named: list[str], correction: Correction) -> Grounding:
    label = human_label(part.kind, part.label.text, correction.annotator, correction.at)
    return part.model_copy(update={"region_ids": named, "label": label})


def _renamed_ids(part: Part, ids: Mapping[str, str]) -> Part:
    named = list(dict.fromkeys(ids[name] for name in part.region_ids if name in ids))
    return part.model_copy(update={"region_ids": named})


def _stale(part: Part, reason: str, locked_too: bool = False) -> Part:
    label = made_stale(part.label, reason, locked_too=locked_too)
    return part if label is part.label else part.model_copy(update={"label": label})


def _without(part: Part, name: str) -> Part:
    """A part without a deleted region: stale if it named the region."""
    if name not in part.region_ids:
        return part
    remaining = [region for region in part.region_ids if region != name]
    return _stale(part.model_copy(update={"region_ids": remaining}), BOX_DELETED, locked_too=True)


def _without_counted(part: Count, name: str) -> Count:
    """A count without a deleted region; the number goes down if it is a model's number of regions."""
    remaining = _without(part, name)
    if remaining is part or is_locked(part.label) or part.count != len(part.region_ids):
        return remaining
    label = remaining.label.model_copy(update={"text": str(part.count - 1)})
    return remaining.model_copy(update={"count": part.count - 1, "label": label})
