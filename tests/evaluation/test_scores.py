"""Figures against gold: a perfect row scores 1 everywhere, and each mistake lowers its own figure."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fo1_data.confidence.risk_figures import auroc, expected_calibration_error
from fo1_data.errors import UsageError
from fo1_data.evaluation.scores import evaluate
from fo1_data.judging.matching import make_pair, match
from fo1_data.judging.texts import says
from fo1_data.judging.words import edit_distance
from fo1_data.synthetic.gold import gold_of
from fo1_data.synthetic.scenes import make_scene
from schemas.corpus import CorpusImage
from schemas.images import Count, EncodedImage, Grounding, ImageRow
from schemas.labels import Label, LabelKind, Source
from schemas.regions import Region, make_region_id


def scene_gold(seed: int = 1) -> CorpusImage:
    return gold_of(make_scene(seed), f"/scenes/{seed}.png")


def perfect_row(gold: CorpusImage, reverse: bool = False) -> ImageRow:
    """The row of a labeller without mistakes, its regions in the order of gold or reversed."""
    order = list(range(len(gold.regions)))
    order = order[::-1] if reverse else order
    ids = [make_region_id("ab" * 32, region.box_xyxy) for region in gold.regions]
    regions = [
        Region(
            region_id=ids[gold_index],
            index=index,
            box_xyxy=gold.regions[gold_index].box_xyxy,
            box_source=Source.MODEL,
            brief_caption=gold.regions[gold_index].caption,
            detailed_caption=gold.regions[gold_index].detailed_caption,
            text=gold.regions[gold_index].text or "",
            labels=[
                Label(kind=LabelKind.BRIEF_CAPTION, text=gold.regions[gold_index].caption, confidence=0.9),
            ],
        )
        for index, gold_index in enumerate(order)
    ]
    label = Label(kind=LabelKind.GROUND, text="")
    return ImageRow(
        image_id="ab" * 32,
        uri=gold.uri,
        uris=[gold.uri],
        corpus="scenes",
        split="train",
        image=EncodedImage(path=gold.uri),
        width=gold.width,
        height=gold.height,
        regions=regions,
        groundings=[
            Grounding(
                phrase=phrase.text,
                kind=LabelKind.GROUND,
                region_ids=[ids[index] for index in phrase.region_indices],
                label=label,
            )
            for phrase in gold.phrases
        ],
        counts=[
            Count(phrase=count.text, count=count.count, region_ids=[], label=label) for count in gold.counts
        ],
    )


@pytest.mark.parametrize("reverse", [False, True])
def test_a_row_without_mistakes_scores_one_everywhere(reverse):
    gold = scene_gold()
    figures = evaluate([perfect_row(gold, reverse)], [gold])
    assert figures["proposals"]["recall"] == figures["proposals"]["regions_per_gold"] == 1
    assert figures["captions"]["brief"] == figures["captions"]["detailed"] == 1
    assert figures["groundings"]["f1"] == figures["groundings"]["absent_rejected"] == 1
    assert figures["groundings"]["present_denied"] == 0
    assert figures["counts"]["exact"] == 1
    assert figures["text"]["exact"] == 1
    assert figures["confidence"]["ece"] == pytest.approx(0.1)


def test_each_mistake_lowers_its_own_figure():
    gold = scene_gold()
    row = perfect_row(gold)
    row.regions[0].brief_caption = "large mauve zebra"
    row.counts[0].count += 2
    present = next(g for g in row.groundings if g.region_ids)
    absent = next(g for g in row.groundings if not g.region_ids)
    present.region_ids = []
    absent.region_ids = [row.regions[0].region_id]
    figures = evaluate([row], [gold])
    assert figures["captions"]["brief"] == pytest.approx(1 - 1 / len(row.regions), abs=1e-5)
    assert figures["captions"]["detailed"] == 1
    assert figures["groundings"]["f1"] < 1
    assert figures["groundings"]["absent_rejected"] < 1
    assert figures["groundings"]["present_denied"] > 0
    assert figures["counts"]["exact"] == pytest.approx(1 - 1 / len(row.counts), abs=1e-5)


def test_a_missed_region_costs_recall_and_not_captions():
    gold = scene_gold()
    row = perfect_row(gold)
    del row.regions[0]
    figures = evaluate([row], [gold])
    assert figures["proposals"]["recall"] < 1
    assert figures["captions"]["brief"] == 1


def test_the_recall_of_golds_own_boxes_is_left_out_with_the_reason():
    gold, other = scene_gold(1), scene_gold(2)
    own, proposed = perfect_row(gold), perfect_row(other)
    for region in own.regions:
        region.box_source = Source.CORPUS
    proposals = evaluate([own], [gold])["proposals"]
    assert proposals["recall"] is proposals["recall_75"] is None
    assert "gold's own" in proposals["note"]
    assert not any(name.startswith("coco") for name in proposals)
    del proposed.regions[0]
    mixed = evaluate([own, proposed], [gold, other])["proposals"]
    assert (mixed["own_boxes"], mixed["num_gold"]) == (1, len(other.regions))
    assert mixed["recall"] < 1


def test_rows_are_found_by_id_and_by_file_name_too():
    gold = scene_gold()
    moved = perfect_row(gold).model_copy(update={"uri": "/else/1.png", "uris": ["/else/1.png"]})
    assert evaluate([moved], [gold])["proposals"]["images"] == 1
    renamed = moved.model_copy(update={"uri": "/x.png", "uris": ["/x.png"], "source_id": gold.id})
    assert evaluate([renamed], [gold])["proposals"]["images"] == 1
    with pytest.raises(UsageError, match="no image"):
        evaluate([renamed.model_copy(update={"source_id": None})], [gold])


def test_phrases_that_gold_does_not_list_are_judged_by_their_words():
    gold = scene_gold()
    row = perfect_row(gold)
    shape = gold.regions[0].label.split()[1]
    named = [
        region.region_id for region, g in zip(row.regions, gold.regions, strict=True) if shape in g.label
    ]
    row.groundings = [
        Grounding(
            phrase=shape,
            kind=LabelKind.DETECT,
            region_ids=named,
            label=Label(kind=LabelKind.DETECT, text=""),
        )
    ]
    stripped = gold.model_copy(update={"phrases": []})
    assert evaluate([row], [stripped])["groundings"]["f1"] == 1


def test_words_need_the_label_or_the_caption():
    gold = ("medium blue square", "blue square")
    assert says("a small blue square", gold, "words")
    assert not says("a small blue square", gold, "exact")
    assert says("Medium  blue square", gold, "exact")
    assert not says("a blue circle", gold, "words")


def test_boxes_of_a_turned_image_are_compared_in_its_own_frame():
    gold = CorpusImage(
        uri="/a.jpg", width=40, height=20, regions=[{"box_xyxy": (0, 0, 10, 10), "label": "x"}]
    )
    row = perfect_row(scene_gold()).model_copy(
        update={"uris": ["/a.jpg"], "width": 20, "height": 40, "orientation": 6, "regions": []}
    )
    assert make_pair(row, gold).gold.regions[0].box_xyxy == (10, 0, 20, 10)


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=6))
def test_a_match_uses_each_region_once_and_only_real_overlaps(rows):
    overlaps = np.array(rows)
    matches = match(overlaps)
    used = [column for column in matches if column is not None]
    assert len(used) == len(set(used))
    assert all(overlaps[row, column] >= 0.5 for row, column in enumerate(matches) if column is not None)
    for column in set(range(3)) - set(used):
        assert all(matches[row] is not None for row in range(len(rows)) if overlaps[row, column] >= 0.5)


@given(st.text("ab", max_size=6), st.text("ab", max_size=6))
def test_edit_distance_is_a_distance(a, b):
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))


def test_confidence_figures_on_known_cases():
    assert auroc(np.array([0.9, 0.1]), np.array([1.0, 0.0])) == 1
    assert auroc(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == 0.5
    assert auroc(np.array([0.5]), np.array([1.0])) is None
    assert expected_calibration_error(np.array([0.75, 0.75]), np.array([1.0, 0.5])) == 0
