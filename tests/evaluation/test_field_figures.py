"""Standard figures on known cases: COCO mAP, DensityF1, RefCOCO accuracy, token F1, CIDEr, error rates."""

import math

import pytest
from factories import make_label, make_row
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.evaluation.caption_figures import cider, token_f1
from fo1_data.evaluation.captions import score_captions, score_texts
from fo1_data.evaluation.coco_figures import score_detections, score_recall
from fo1_data.evaluation.phrase_figures import score_phrases
from fo1_data.evaluation.scores import evaluate
from fo1_data.judging.matching import make_pair
from schemas.corpus import CorpusAnswer, CorpusImage, CorpusPhrase, CorpusRegion
from schemas.images import Answer, Grounding
from schemas.labels import LabelKind


def gold_of(row, labels, phrases=(), **fields):
    regions = [
        CorpusRegion(box_xyxy=region.box_xyxy, label=label, caption=region.brief_caption)
        for region, label in zip(row.regions, labels, strict=True)
    ]
    named = [CorpusPhrase(text=text, region_indices=list(indices)) for text, indices in phrases]
    return CorpusImage(
        uri=row.uri, width=row.width, height=row.height, regions=regions, phrases=named, **fields
    )


def point(row, kind, phrase, indices, confidence=None):
    label = make_label(kind=kind, text=phrase, confidence=confidence)
    ids = [row.regions[index].region_id for index in indices]
    return Grounding(phrase=phrase, kind=kind, region_ids=ids, label=label)


@pytest.fixture
def row():
    return make_row(5, num_regions=4, width=200, height=150)


def test_right_detections_have_a_map_of_one_and_misses_lower_it(row):
    gold = gold_of(row, ["cat", "cat", "dog", "dog"])
    right = row.model_copy(
        update={"groundings": [point(row, LabelKind.DETECT, "cat", [0, 1]),
                               point(row, LabelKind.DETECT, "dog", [2, 3])]}
    )  # fmt: skip
    figures = score_detections([make_pair(right, gold)])
    assert figures["map"] == figures["mar_100"] == 1
    assert figures["per_class"] == {"cat": 1, "dog": 1}
    half = right.model_copy(update={"groundings": [point(row, LabelKind.DETECT, "cat", [0])]})
    figures = score_detections([make_pair(half, gold)])
    assert figures["per_class"]["cat"] == pytest.approx(0.5, abs=0.01)
    assert figures["per_class"]["dog"] == 0
    assert figures["not_asked"] == ["dog"]
    assert score_detections([make_pair(row.model_copy(update={"groundings": []}), gold)]) == {"num": 0}


def test_confident_detections_come_first(row):
    gold = gold_of(row, ["cat", "dog", "dog", "dog"])

    def figure(right, wrong):
        pointed = [
            point(row, LabelKind.DETECT, "cat", [0], confidence=right),
            point(row, LabelKind.DETECT, "CAT", [1], confidence=wrong),
        ]
        return score_detections([make_pair(row.model_copy(update={"groundings": pointed}), gold)])

    assert figure(0.9, 0.2)["per_class"]["cat"] == 1
    assert figure(0.2, 0.9)["per_class"]["cat"] == pytest.approx(0.5, abs=0.01)


def test_crowds_are_ignored(row):
    crowd = [{"iscrowd": 1}, {}, {}, {}]
    gold = gold_of(row, ["cat", "cat", "dog", "dog"], meta={"region_meta": crowd})
    named = row.model_copy(update={"groundings": [point(row, LabelKind.DETECT, "cat", [1])]})
    assert score_detections([make_pair(named, gold)])["per_class"]["cat"] == 1


def test_recall_of_proposals_by_coco_rules(row):
    gold = gold_of(row, ["a", "b", "c", "d"])
    assert score_recall([make_pair(row, gold)])["coco_mar_100"] == 1
    fewer = row.model_copy(update={"regions": row.regions[:1]})
    assert score_recall([make_pair(fewer, gold)])["coco_mar_100"] == pytest.approx(0.25)


def test_phrases_by_the_rules_of_refcoco_and_humanref(row):
    gold = gold_of(row, ["x"] * 4, [("one", [0]), ("two", [0, 1]), ("none", [])])

    def figures(*named):
        pointed = [point(row, LabelKind.GROUND, phrase, indices) for phrase, indices in named]
        return score_phrases([make_pair(row.model_copy(update={"groundings": pointed}), gold)])

    right = figures(("one", [0]), ("two", [1, 0]), ("none", []))
    assert right["accuracy_50"] == right["density_f1"] == right["recall"] == right["rejection"] == 1
    wrong = figures(("one", [2]), ("none", [1]))
    assert wrong["accuracy_50"] == wrong["density_f1"] == wrong["rejection"] == 0
    # Two boxes named for one gold box: precision 1/2, F1 2/3, and the density halves it.
    assert figures(("one", [0, 1]))["density_f1_50"] == pytest.approx(1 / 3, abs=1e-6)
    # One of two gold boxes named: recall 1/2, F1 2/3, no penalty for too few boxes.
    assert figures(("two", [1]))["density_f1_50"] == pytest.approx(2 / 3, abs=1e-6)


def test_token_f1_counts_words_in_common():
    assert token_f1("a red cat", ["a red cat"]) == 1
    assert token_f1("a red cat", ["dog", "the red cat"]) == pytest.approx(2 / 3)
    assert token_f1("", ["cat"]) == 0


@given(st.text("ab c", max_size=12), st.lists(st.text("ab c", max_size=12), min_size=1, max_size=3))
def test_token_f1_is_a_share_and_one_for_its_own_reference(caption, others):
    assert 0 <= token_f1(caption, others) <= 1
    assert token_f1(caption, [*others, caption]) == 1


def test_cider_of_known_cases():
    assert cider(["a cat"], [["a cat"]]) is None
    assert cider(["a dog", "one cat"], [["a dog"], ["one cat"]]) == pytest.approx(5.0)
    assert cider(["one cat", "a dog"], [["a dog"], ["one cat"]]) == 0
    # With four words every n-gram length occurs, so that a caption equal to its reference scores 10.
    same = ["a large red dog", "one small blue cat"]
    assert cider(same, [[text] for text in same]) == pytest.approx(10.0)
    # An extra word costs the Gaussian penalty on length, and adds to the norm.
    longer = cider(["a large red dog now", same[1]], [[text] for text in same])
    assert 5 < longer < 5 + 5 * math.exp(-1 / (2 * 6**2))


@settings(max_examples=30)
@given(st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6), min_size=2, max_size=5))
def test_cider_lies_between_none_and_ten(texts):
    captions = [" ".join(words) for words in texts]
    score = cider(captions[::-1], [[caption] for caption in captions])
    assert -1e-9 <= score <= 10 + 1e-9


def test_captions_of_regions_and_images_have_figures(row):
    gold = gold_of(row, ["x"] * 4, meta={"captions": ["a large red dog", "some dog"]})
    pair = make_pair(row.model_copy(update={"caption": "some dog"}), gold)
    figures = score_captions([pair], "exact")
    assert figures["brief_token_f1"] == figures["image_token_f1"] == 1
    assert figures["num_image"] == 1
    assert figures["image_cider"] is None
    assert figures["brief_cider"] > 0


def test_word_and_character_errors(row):
    gold = gold_of(row, ["x"] * 4)
    gold.regions[0].text = "TWO WORDS"
    read = row.model_copy(deep=True)
    read.regions[0].text = "TWO WORD"
    figures = score_texts([make_pair(read, gold)])
    assert figures["word_error_rate"] == 0.5
    assert figures["character_error_rate"] == pytest.approx(1 / 9, abs=1e-6)


def test_errors_of_texts_are_told_by_their_length(row):
    gold = gold_of(row, ["x"] * 4)
    read = row.model_copy(deep=True)
    for region, gold_region, text in zip(read.regions, gold.regions, ("", "a", "bcd", "efgh"), strict=True):
        gold_region.text, region.text = text, text.replace("b", "")
    figures = score_texts([make_pair(read, gold)])
    found = {
        name: (part["num"], part["exact"], part["character_error_rate"])
        for name, part in figures["by_length"].items()
    }
    assert found == {"1": (2, 1, 0), "3-4": (2, 0.5, pytest.approx(1 / 7, abs=1e-6))}


def test_examples_and_answers_are_scored_by_gold(row):
    question = "What is {region}?"
    gold = gold_of(row, ["cat", "cat", "dog", "cat"])
    gold.answers = [CorpusAnswer(question=question, answer="A cat.", region_index=1)]
    ids = [region.region_id for region in row.regions]
    label = make_label(kind=LabelKind.ASK, text="a cat")
    answers = [Answer(question=question, region_id=name, answer="a cat", label=label) for name in ids]
    pointed = [
        point(row, LabelKind.VISUAL_EXAMPLE, ids[0], [1, 3]),
        point(row, LabelKind.VISUAL_EXAMPLE, ids[2], [0]),
    ]
    figures = evaluate([row.model_copy(update={"groundings": pointed, "answers": answers})], [gold])
    assert figures["answers"] == {"exact": 1, "token_f1": 1, "num": 1}
    examples = figures["groundings"]["by_kind"]["visual_example"]
    assert (examples["recall"], examples["num_present"], examples["absent_rejected"]) == (1, 1, 0)
    assert figures["groundings"]["num_present"] == figures["groundings"]["num_absent"] == 0
