"""What a row says that its gold says otherwise: the single mistakes behind the figures of `fo1 evaluate`.

Right and wrong are decided by the rules of `fo1_data.judging.correctness`. Regions count as in the row,
boxes are in pixels of the EXIF-oriented image, x_min y_min x_max y_max.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from fo1_data.judging.matching import Pair
from fo1_data.judging.phrases import named_regions, wanted_regions
from fo1_data.judging.texts import CaptionMatch, says, text_right
from fo1_data.judging.words import words_of
from schemas.corpus import CorpusRegion
from schemas.images import ImageRow
from schemas.labels import LabelKind
from schemas.regions import Region

NOTHING = "nothing"


@dataclass
class Faults:
    """The mistakes of one row.

    regions: by the region's index, what gold says instead; phrases: by (kind, phrase), what is wrong with
    its regions; counts: by phrase, gold's number; missed_xyxy: gold boxes that no region has; swaps: pairs
    (gold's word, the word said) of captions, counted; num_judged: how many labels gold could judge.
    """

    regions: dict[int, list[str]] = field(default_factory=dict)
    phrases: dict[tuple[LabelKind, str], str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    missed_xyxy: list[tuple[float, float, float, float]] = field(default_factory=list)
    swaps: Counter[tuple[str, str]] = field(default_factory=Counter)
    num_judged: int = 0

    @property
    def num_wrong(self) -> int:
        """How many of the labels judged are wrong."""
        return sum(len(texts) for texts in self.regions.values()) + len(self.phrases) + len(self.counts)

    def __len__(self) -> int:
        return self.num_wrong + len(self.missed_xyxy)


@dataclass
class Mistakes:
    """The mistakes of all rows together: how many labels were judged, wrong, and which words were swapped."""

    num_images: int = 0
    num_judged: int = 0
    num_wrong: int = 0
    num_missed: int = 0
    swaps: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, faults: Faults) -> None:
        """Count one row."""
        self.num_images += 1
        self.num_judged += faults.num_judged
        self.num_wrong += faults.num_wrong
        self.num_missed += len(faults.missed_xyxy)
        self.swaps += faults.swaps

    def most_swapped(self, most: int = 12) -> list[tuple[str, str, int]]:
        """(gold's word, the word said, times), the most frequent first."""
        ordered = sorted(self.swaps.items(), key=lambda item: (-item[1], item[0]))
        return [(meant, said, times) for (meant, said), times in ordered[:most]]


def find_faults(pair: Pair, how: CaptionMatch = "exact") -> Faults:
    """Every mistake of a row that its gold shows."""
    found = Faults()
    gold_regions = pair.gold.regions or []
    for region, place in zip(pair.row.regions, pair.gold_of, strict=True):
        if place is not None:
            _judge_region(region, gold_regions[place], how, found)
    matched = set(pair.region_of)
    found.missed_xyxy = [one.box_xyxy for place, one in enumerate(gold_regions) if place not in matched]
    _judge_phrases(pair, found)
    _judge_counts(pair.row, {one.text.casefold(): one.count for one in pair.gold.counts}, found)
    return found


def _judge_region(region: Region, gold: CorpusRegion, how: CaptionMatch, found: Faults) -> None:
    for said, right in _said_and_right(region, gold):
        found.num_judged += 1
        if says(said, right, how):
            continue
        best = next(text for text in right if text)
        found.regions.setdefault(region.index, []).append(best)
        words, meant = words_of(said), words_of(best)
        if len(words) == len(meant):
            found.swaps.update((b, a) for a, b in zip(words, meant, strict=True) if a != b)
    if region.text is not None and gold.text is not None:
        found.num_judged += 1
        if not text_right(region.text, gold.text):
            found.regions.setdefault(region.index, []).append(f"“{gold.text}”" if gold.text else NOTHING)


def _said_and_right(region: Region, gold: CorpusRegion) -> Iterator[tuple[str, tuple[str | None, ...]]]:
    if region.brief_caption is not None and (gold.caption or gold.label):
        yield region.brief_caption, (gold.caption, gold.label)
    if region.detailed_caption is not None and gold.detailed_caption:
        yield region.detailed_caption, (gold.detailed_caption,)


def _judge_phrases(pair: Pair, found: Faults) -> None:
    numbers = {place: pair.row.regions[index].index for place, index in pair.region_of.items()}
    for grounding in pair.row.groundings:
        wanted = wanted_regions(pair.gold, grounding.phrase)
        if wanted is None or grounding.kind is LabelKind.VISUAL_EXAMPLE:
            continue
        found.num_judged += 1
        if named_regions(pair, grounding.region_ids) == wanted:
            continue
        shown = sorted(numbers[int(place)] for place in wanted if place in numbers)
        missed = ["missed"] * (len(wanted) - len(shown))
        meant = " ".join([*map(str, shown), *missed])
        found.phrases[grounding.kind, grounding.phrase] = meant or "absent"


def _judge_counts(row: ImageRow, right: dict[str, int], found: Faults) -> None:
    for one in row.counts:
        meant = right.get(one.phrase.casefold())
        if meant is not None:
            found.num_judged += 1
            if one.count != meant:
                found.counts[one.phrase] = meant
