"""Which gold regions a phrase or an example names, and which gold regions an answer named.

Gold regions are indices into the regions of the gold entry; a region id stands for a box that matches no
gold box.
"""

from collections.abc import Sequence

from fo1_data.judging.matching import Pair
from fo1_data.judging.words import words_of


def gold_regions(pair: Pair, phrase: str) -> set[int | str] | None:
    """The gold regions that a phrase names: as gold lists them, else those with all its words.

    The words of a region are those of its label and caption. None if gold does not say: a phrase without
    indices, or an image whose regions have no words.
    """
    listed = pair.gold_phrases.get(phrase.casefold())
    if listed is not None:
        return None if listed.region_indices is None else set(listed.region_indices)
    if not pair.gold_words:
        return None
    words = set(words_of(phrase)) - {"object"}
    return {index for index, region_words in enumerate(pair.gold_words) if words <= region_words}


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
    named: set[int | str] = set()
    for region_id in region_ids:
        place = pair.region_places.get(region_id)
        gold = None if place is None else pair.gold_of[place]
        named.add(region_id if gold is None else gold)
    return named
