"""The attention targets of training-only losses: rows and positions of a packed image."""

from dataclasses import replace

import pytest

pytest.importorskip("torch")

from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.training.packing import pack_questions
from fo1_data.training.samples.questions import TrainingQuestion, phrase_question
from schemas.corpus import CorpusPhrase
from tools.fo1_tiny import supervision
from tools.fo1_tiny.supervision import AttentionTargets, plan_attention

PREFIX_LENGTH = 50
FEATURE_ROWS = [10, 12, 14, 16]
INDICES = [0, 1, 2, 3]


@pytest.fixture(scope="module")
def tokenizer():
    return load_checkpoint("fo1-tiny").tokenizer


def planned(
    tokenizer, question: TrainingQuestion
) -> tuple[dict[tuple[int, int], AttentionTargets], list[int]]:
    packed = pack_questions(tokenizer, [question])
    attention = plan_attention(tokenizer, [[question]], [packed], [FEATURE_ROWS], [PREFIX_LENGTH])
    return attention, packed.targets.tolist()


def test_a_plain_phrase_attends_to_all_unnamed_regions_and_to_the_next(tokenizer):
    question = phrase_question(CorpusPhrase(text="red circle", region_indices=[1, 3]), INDICES)
    attention, targets = planned(tokenizer, question)
    rows = [PREFIX_LENGTH + targets.index(tokenizer.special.regions[i]) for i in (1, 3)]
    hits = attention[supervision.HITS_LAYER, supervision.HITS_HEAD]
    assert hits == AttentionTargets([0, 0], rows, [[12, 16], [16]])
    assert attention[supervision.NEXT_LAYER, supervision.NEXT_HEAD] == AttentionTargets(
        [0, 0], rows, [[12], [16]]
    )
    assert not attention[supervision.ANCHOR_LAYER, supervision.ANCHOR_HEAD].row


def test_a_relation_attends_to_its_anchor_first_and_points_a_layer_later(tokenizer):
    phrase = CorpusPhrase(text="red circle left of the ring", region_indices=[1])
    question = replace(phrase_question(phrase, INDICES), anchor=2)
    attention, targets = planned(tokenizer, question)
    phrase_end = PREFIX_LENGTH + targets.index(tokenizer.special.objects_open)
    named = PREFIX_LENGTH + targets.index(tokenizer.special.regions[1])
    assert attention[supervision.ANCHOR_LAYER, supervision.ANCHOR_HEAD] == AttentionTargets(
        [0], [phrase_end], [[14]]
    )
    relay = attention[supervision.RELAY_LAYER, supervision.RELAY_HEAD]
    assert relay == AttentionTargets([0, 0], [named, named + 1], [[phrase_end], [phrase_end]])
    related = attention[supervision.RELATED_HITS_LAYER, supervision.RELATED_HITS_HEAD]
    assert related == AttentionTargets([0], [named], [[12]])
    assert not attention[supervision.HITS_LAYER, supervision.HITS_HEAD].row
