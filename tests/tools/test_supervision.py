"""Where training-only heads are told to look: rows and positions of one packed image."""

from dataclasses import replace

import pytest

pytest.importorskip("torch")

from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.training.packing import pack_questions
from fo1_data.training.samples.questions import TrainingQuestion, phrase_question
from schemas.corpus import CorpusPhrase
from tools.fo1_tiny import supervision
from tools.fo1_tiny.supervision import Looks, plan_looks

PREFIX_LENGTH = 50
FEATURE_ROWS = [10, 12, 14, 16]
INDICES = [0, 1, 2, 3]


@pytest.fixture(scope="module")
def tokenizer():
    return load_checkpoint("fo1-tiny").tokenizer


def planned(tokenizer, question: TrainingQuestion) -> tuple[dict[tuple[int, int], Looks], list[int]]:
    packed = pack_questions(tokenizer, [question])
    looks = plan_looks(tokenizer, [[question]], [packed], [FEATURE_ROWS], [PREFIX_LENGTH])
    return looks, packed.targets.tolist()


def test_a_plain_phrase_looks_at_all_that_is_left_and_then_at_the_next(tokenizer):
    question = phrase_question(CorpusPhrase(text="red circle", region_indices=[1, 3]), INDICES)
    looks, targets = planned(tokenizer, question)
    rows = [PREFIX_LENGTH + targets.index(tokenizer.special.regions[i]) for i in (1, 3)]
    hits = looks[supervision.HITS_LAYER, supervision.HITS_HEAD]
    assert hits == Looks([0, 0], rows, [[12, 16], [16]])
    assert looks[supervision.NEXT_LAYER, supervision.NEXT_HEAD] == Looks([0, 0], rows, [[12], [16]])
    assert not looks[supervision.ANCHOR_LAYER, supervision.ANCHOR_HEAD].row


def test_a_relation_looks_at_its_anchor_first_and_points_a_layer_later(tokenizer):
    phrase = CorpusPhrase(text="red circle left of the ring", region_indices=[1])
    question = replace(phrase_question(phrase, INDICES), anchor=2)
    looks, targets = planned(tokenizer, question)
    said = PREFIX_LENGTH + targets.index(tokenizer.special.objects_open)
    named = PREFIX_LENGTH + targets.index(tokenizer.special.regions[1])
    assert looks[supervision.ANCHOR_LAYER, supervision.ANCHOR_HEAD] == Looks([0], [said], [[14]])
    relay = looks[supervision.RELAY_LAYER, supervision.RELAY_HEAD]
    assert relay == Looks([0, 0], [named, named + 1], [[said], [said]])
    related = looks[supervision.RELATED_HITS_LAYER, supervision.RELATED_HITS_HEAD]
    assert related == Looks([0], [named], [[12]])
    assert not looks[supervision.HITS_LAYER, supervision.HITS_HEAD].row
