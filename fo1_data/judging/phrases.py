"""TODO-DOC."""

from collections.abc import Sequence

from fo1_data.judging.matching import Pair
from fo1_data.judging.words import words_of
from schemas.corpus import CorpusImage


def wanted_regions(gold: CorpusImage, phrase: str) -> set[int | str] | None:
    """The gold regions a phrase names: as gold says, else those whose label or caption has all its words.

    None where gold does not know: a phrase without indices, or an image whose regions have no words.
    """
    for one in gold.phrases:
        if one.text.casefold() == phrase.casefold():
            return None if one.region_indices is None else set(one.region_indices)
    regions = gold.regions or []
    if not any(region.label or region.caption for region in regions):
        return None
    words = set(words_of(phrase)) - {"object"}
    said = [set(words_of(f"{region.label or ''} {region.caption or ''}")) for region in regions]
    return {index for index, spoken in enumerate(said) if words <= spoken}


def others_alike(pair: Pair, example_id: str) -> set[int | str] | None:
    """The gold regions with the label of an example's, itself left out; None where gold does not know."""
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
    """Gold indices of the regions named; a region that is none of gold's stays a region id."""
    place = {region.region_id: gold for region, gold in zip(pair.row.regions, pair.gold_of, strict=True)}
    named: set[int | str] = set()
    for region_id in region_ids:
        gold = place.get(region_id)
        named.add(region_id if gold is None else gold)
    return named
