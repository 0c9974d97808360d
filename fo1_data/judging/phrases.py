"""Which gold regions a phrase or an example names, and which gold regions an answer named.

Gold regions are indices into the regions of the gold entry; a region id stands for a box that matches no
gold box.
"""

from collections.abc import Sequence

from fo1_data.judging.matching import Pair
from fo1_data.judging.words import words_of
from schemas.corpus import CorpusImage


def gold_regions(gold: CorpusImage, phrase: str) -> set[int | str] | None:
    """The gold regions that a phrase names: as gold lists them, else those with all its words.

    The words of a region are those of its label and caption. None if gold does not say: a phrase without
    indices, or an image whose regions have no words.
    """
    for entry in gold.phrases:
        if entry.text.casefold() == phrase.casefold():
            return None if entry.region_indices is None else set(entry.region_indices)
    regions = gold.regions or []
    if not any(region.label or region.caption for region in regions):
        return None
    words = set(words_of(phrase)) - {"object"}
    words_by_region = [set(words_of(f"{region.label or ''} {region.caption or ''}")) for region in regions]
    return {index for index, region_words in enumerate(words_by_region) if words <= region_words}


def same_label_regions(pair: Pair, example_id: str) -> set[int | str] | None:
    """The other gold regions with the label of an example's region; None if gold does not say."""
    place = next(
        (
            gold
            for region, gold in zip(pair.row.regions, pair.gold_of, strict=True)
            if region.region_id == example_id
        ),
        None,
    )
    regions = pair.gold.regions or []
    if place is None or not regions[place].label:
        return None
    same = (regions[place].label or "").casefold()
    return {
        index
        for index, region in enumerate(regions)
        if index != place and (region.label or "").casefold() == same
    }


def named_regions(pair: Pair, region_ids: Sequence[str]) -> set[int | str]:
    """Gold indices of the named regions; a region that matches no gold region stays a region id."""
    place = {region.region_id: gold for region, gold in zip(pair.row.regions, pair.gold_of, strict=True)}
    named: set[int | str] = set()
    for region_id in region_ids:
        gold = place.get(region_id)
        named.add(region_id if gold is None else gold)
    return named
