"""The single mistakes: none in a perfect row, and exactly those that were made on purpose in another."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_scores import perfect_row, scene_gold

from fo1_data.evaluation.faults import Faults, Mistakes, find_faults
from fo1_data.judging.correctness import judge_pairs
from fo1_data.judging.matching import GoldIndex, make_pair
from schemas.labels import Label, LabelKind


@given(seed=st.integers(0, 50), reverse=st.booleans())
@settings(max_examples=15, deadline=None)
def test_a_perfect_row_has_no_faults(seed: int, reverse: bool) -> None:
    gold = scene_gold(seed)
    faults = find_faults(make_pair(perfect_row(gold, reverse), gold))
    assert (len(faults), faults.missed_xyxy, bool(faults.swaps)) == (0, [], False)
    assert faults.num_judged > 2 * len(gold.regions)


def broken() -> Faults:
    gold = scene_gold()
    row = perfect_row(gold)
    colour = gold.regions[0].label.split()[0]
    row.regions[0].brief_caption = row.regions[0].brief_caption.replace(colour, "beige")
    row.groundings[0].region_ids = []
    row.counts[0].count += 1
    missed = row.regions.pop()
    for part in (*row.groundings, *row.counts):
        part.region_ids = [region_id for region_id in part.region_ids if region_id != missed.region_id]
    return find_faults(make_pair(row, gold))


def test_every_mistake_is_reported_with_gold() -> None:
    gold, faults = scene_gold(), broken()
    assert faults.regions == {0: [gold.regions[0].caption]}
    assert faults.swaps == {(gold.regions[0].label.split()[0], "beige"): 1}
    first = gold.phrases[0]
    last = len(gold.regions) - 1
    expected = " ".join("missed" if index == last else str(index) for index in sorted(first.region_indices))
    assert faults.phrases[LabelKind.GROUND, first.text] == expected
    assert faults.counts == {gold.counts[0].text: gold.counts[0].count}
    assert faults.missed_xyxy == [gold.regions[-1].box_xyxy]


@pytest.mark.parametrize("text", ["AB12cd34ef", "AB12cd34eF", "AB12cd34xx"])
def test_a_text_is_a_fault_if_calibration_judges_it_wrong(text: str) -> None:
    gold = scene_gold()
    regions = [region.model_copy(update={"text": "AB12cd34ef"}) for region in gold.regions or []]
    row = perfect_row(gold)
    label = Label(kind=LabelKind.OCR, text=text)
    for region in row.regions:
        region.text, region.labels = text, [label]
    pair = make_pair(row, gold.model_copy(update={"regions": regions}))
    verdicts = [judged.right for judged in judge_pairs([pair], "exact") if judged.part.kind is LabelKind.OCR]
    assert len(verdicts) == len(regions)
    assert verdicts.count(False) == len(find_faults(pair).regions)


def test_mistakes_add_up() -> None:
    mistakes = Mistakes()
    for _ in range(3):
        mistakes.add(broken())
    assert (mistakes.num_images, mistakes.num_missed) == (3, 3)
    assert mistakes.num_wrong == 3 * broken().num_wrong
    assert mistakes.most_swapped() == [(scene_gold().regions[0].label.split()[0], "beige", 3)]


@pytest.mark.parametrize("key", ["address", "id", "file"])
def test_gold_is_found_by_address_id_or_file_name(key: str) -> None:
    gold = scene_gold()
    row = perfect_row(gold)
    if key != "address":
        row.uri, row.uris = "elsewhere/1.png", ["elsewhere/1.png"]
    row.source_id = gold.id if key == "id" else None
    pair = GoldIndex([gold, scene_gold(2)]).pair(row)
    assert pair is not None
    assert pair.gold.id == gold.id
