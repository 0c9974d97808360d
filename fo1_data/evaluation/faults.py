"""The single mistakes of a row against its gold, behind the figures of `fo1 evaluate`.

The rules of `fo1_data.judging.correctness` decide what is right. Region indices are those of the row; boxes
are `xyxy` in pixels of the EXIF-oriented image.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from fo1_data.judging.matching import Pair
from fo1_data.judging.phrases import gold_regions, named_regions
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

    `regions`: by region index, gold's texts for the wrong ones; `phrases`: by (kind, phrase), the region
    indices that gold names, with "missed" for each that the row lacks; `counts`: by phrase, gold's number;
    `missed_xyxy`: gold boxes that match no region; `swaps`: how often a caption has another word in place of
    gold's, by (gold's word, caption's word); `num_judged`: how many labels gold can judge.
    """

    regions: dict[int, list[str]] = field(default_factory=dict)
    phrases: dict[tuple[LabelKind, str], str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    missed_xyxy: list[tuple[float, float, float, float]] = field(default_factory=list)
    swaps: Counter[tuple[str, str]] = field(default_factory=Counter)
    num_judged: int = 0

    @property
    def num_wrong(self) -> int:
        """How many of the judged labels are wrong."""
        return sum(len(texts) for texts in self.regions.values()) + len(self.phrases) + len(self.counts)

    def __len__(self) -> int:
        return self.num_wrong + len(self.missed_xyxy)


@dataclass
class Mistakes:
    """The mistakes of all rows together: how many labels were judged and wrong, and which words differed."""

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
        """(gold's word, caption's word, count), the most frequent first."""
        ordered = sorted(self.swaps.items(), key=lambda item: (-item[1], item[0]))
        return [(gold_word, word, count) for (gold_word, word), count in ordered[:most]]


def find_faults(pair: Pair, how: CaptionMatch = "exact") -> Faults:
    """Every mistake of a row that its gold shows."""
    faults = Faults()
    gold_regions = pair.gold.regions or []
    for region, gold_index in zip(pair.row.regions, pair.gold_of, strict=True):
        if gold_index is not None:
            _judge_region(region, gold_regions[gold_index], how, faults)
    matched = set(pair.region_of)
    unmatched = [region for index, region in enumerate(gold_regions) if index not in matched]
    faults.missed_xyxy = [region.box_xyxy for region in unmatched]
    _judge_phrases(pair, faults)
    _judge_counts(pair.row, {count.text.casefold(): count.count for count in pair.gold.counts}, faults)
    return faults


def _judge_region(region: Region, gold: CorpusRegion, how: CaptionMatch, faults: Faults) -> None:
    for caption, references in _captions_with_references(region, gold):
        faults.num_judged += 1
        if says(caption, references, how):
            continue
        best = next(text for text in references if text)
        faults.regions.setdefault(region.index, []).append(best)
        words, gold_words = words_of(caption), words_of(best)
        if len(words) == len(gold_words):
            faults.swaps.update(pair for pair in zip(gold_words, words, strict=True) if pair[0] != pair[1])
    if region.text is not None and gold.text is not None:
        faults.num_judged += 1
        if not text_right(region.text, gold.text):
            faults.regions.setdefault(region.index, []).append(f"“{gold.text}”" if gold.text else NOTHING)


def _captions_with_references(
    region: Region, gold: CorpusRegion
) -> Iterator[tuple[str, tuple[str | None, ...]]]:
    if region.brief_caption is not None and (gold.caption or gold.label):
        yield region.brief_caption, (gold.caption, gold.label)
    if region.detailed_caption is not None and gold.detailed_caption:
        yield region.detailed_caption, (gold.detailed_caption,)


def _judge_phrases(pair: Pair, faults: Faults) -> None:
    index_of_gold = {gold: pair.row.regions[position].index for gold, position in pair.region_of.items()}
    for grounding in pair.row.groundings:
        expected = gold_regions(pair, grounding.phrase)
        if expected is None or grounding.kind is LabelKind.VISUAL_EXAMPLE:
            continue
        faults.num_judged += 1
        if named_regions(pair, grounding.region_ids) == expected:
            continue
        present = sorted(index_of_gold[int(gold)] for gold in expected if gold in index_of_gold)
        missed = ["missed"] * (len(expected) - len(present))
        correction = " ".join([*map(str, present), *missed])
        faults.phrases[grounding.kind, grounding.phrase] = correction or "absent"


def _judge_counts(row: ImageRow, gold_counts: dict[str, int], faults: Faults) -> None:
    for count in row.counts:
        expected = gold_counts.get(count.phrase.casefold())
        if expected is not None:
            faults.num_judged += 1
            if count.count != expected:
                faults.counts[count.phrase] = expected
