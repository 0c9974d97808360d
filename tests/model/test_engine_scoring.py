"""Answers that are given instead of chosen, watched tokens, and region features a question may not see."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import DynamicCache

from fo1_data.benchmarks.transformers_decoder import transformers_decoder
from fo1_data.model.checkpoint import Checkpoint, load_checkpoint
from fo1_data.model.checkpoint_folder import BUNDLED
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.generation import Generation
from fo1_data.model.engine.questions import OpenImage, Question
from fo1_data.model.region_fusion import embed_prompt
from fo1_data.model.rotary import text_positions
from fo1_data.synthetic.scenes import make_scene

LONGEST = 10
CAPTION = "Provide a brief description for <region{}>."
DETECT = "Please detect red star in this image. Answer the question with object indexes."


@pytest.fixture(scope="module", params=["random", BUNDLED])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    if request.param == "random":
        return request.getfixturevalue("random_checkpoint")
    return load_checkpoint(BUNDLED)


def _scene(seed: int, num_regions: int) -> tuple[Image.Image, np.ndarray]:
    scene = make_scene(seed, (num_regions, num_regions))
    boxes = np.array([one.box_xyxy for one in scene.objects], np.float32).reshape(-1, 4)
    return scene.image, np.resize(boxes, (num_regions, 4))


SCENES = [_scene(1, 4), _scene(2, 7), _scene(3, 1)]


def test_an_answer_given_back_is_scored_as_it_was_said(checkpoint: Checkpoint) -> None:
    engine = Fo1Engine(checkpoint)
    (opened,) = engine.open(SCENES[:1])
    asked = [
        Question(opened, text, max_new_tokens=LONGEST)
        for text in (CAPTION.format(0), CAPTION.format(2), DETECT)
    ]
    said = engine.ask(asked)

    for cut in (1, 2, LONGEST):
        given_back = engine.ask(
            [
                Question(opened, one.text, max_new_tokens=LONGEST, forced_ids=tuple(answer.token_ids[:cut]))
                for one, answer in zip(asked, said, strict=True)
            ]
        )
        for again, answer in zip(given_back, said, strict=True):
            assert again.token_ids == answer.token_ids
            assert again.num_forced == min(cut, len(answer.token_ids))
            for name in ("logprobs", "margins", "entropies"):
                assert getattr(again, name) == pytest.approx(getattr(answer, name), abs=1e-4)
            assert [step.step for step in again.region_steps] == [step.step for step in answer.region_steps]


def test_given_tokens_alone_are_scored_without_choosing(checkpoint: Checkpoint) -> None:
    engine = Fo1Engine(checkpoint)
    (opened,) = engine.open(SCENES[:1])
    words = checkpoint.tokenizer.answer_ids("a star")
    (scored,) = engine.ask([Question(opened, DETECT, max_new_tokens=len(words), forced_ids=words)])

    assert tuple(scored.token_ids) == words
    assert scored.num_forced == len(words)
    assert min(scored.margins) < 0, "a token that was not the best one has a negative margin"
    with pytest.raises(ValueError, match="tokens are forced"):
        engine.ask([Question(opened, DETECT, max_new_tokens=len(words) - 1, forced_ids=words)])


def test_watched_tokens_are_those_of_the_first_choice(checkpoint: Checkpoint) -> None:
    engine = Fo1Engine(checkpoint)
    (opened,) = engine.open(SCENES[:1])
    (plain,) = engine.ask([Question(opened, DETECT, max_new_tokens=3)])
    first, second = plain.token_ids[:2]

    answers = engine.ask(
        [
            Question(opened, DETECT, max_new_tokens=3, watched_ids=(second, first)),
            Question(opened, DETECT, max_new_tokens=3, forced_ids=(first,), watched_ids=(second,)),
        ]
    )

    assert answers[0].watched_logprobs[1] == pytest.approx(plain.logprobs[0], abs=1e-5)
    assert answers[0].watched_logprobs[0] <= answers[0].watched_logprobs[1]
    assert answers[1].watched_logprobs == pytest.approx([plain.logprobs[1]], abs=1e-5)


def test_a_last_token_ends_the_answer(random_checkpoint: Checkpoint) -> None:
    engine = Fo1Engine(random_checkpoint)
    (opened,) = engine.open(SCENES[:1])
    (plain,) = engine.ask([Question(opened, DETECT, max_new_tokens=LONGEST)])
    (cut,) = engine.ask([Question(opened, DETECT, max_new_tokens=LONGEST, stop_id=plain.token_ids[2])])
    assert cut.token_ids == plain.token_ids[: plain.token_ids.index(plain.token_ids[2]) + 1]
    assert cut.finished


@torch.inference_mode()
def _scored_without_key(checkpoint: Checkpoint, region: int, words: list[int]) -> list[float]:
    """By transformers' own decoder: the prefix's cache with one region's key and value cut out of it."""
    model, (image, boxes) = checkpoint.model, SCENES[0]
    prepared = checkpoint.processor.prepare(image, boxes)
    prompt = embed_prompt(
        model,
        checkpoint.tokenizer.prefix_ids(len(boxes)),
        model.encode_images([prepared])[0],
        prepared.grid_hw,
    )
    cache = DynamicCache()
    decoder = transformers_decoder(model)
    decoder(None, None, prompt.positions[:, None], cache, inputs_embeds=prompt.embeds[None], use_cache=True)
    place = prompt.region_places[region]
    for layer in cache.layers:
        layer.keys = torch.cat([layer.keys[:, :, :place], layer.keys[:, :, place + 1 :]], dim=2)
        layer.values = torch.cat([layer.values[:, :, :place], layer.values[:, :, place + 1 :]], dim=2)
    tail = checkpoint.tokenizer.tail_ids(CAPTION.format(region))
    out = decoder(
        None,
        None,
        text_positions(prompt.next_position, len(tail) + len(words) - 1)[:, None],
        cache,
        inputs_embeds=model.embed_tokens(torch.tensor([tail + words[:-1]])),
        use_cache=True,
    )
    states = out.last_hidden_state[0, len(tail) - 1 :]
    logprobs = torch.log_softmax(model.logits(states).float(), dim=-1)
    return logprobs[range(len(words)), words].tolist()


def test_a_hidden_feature_is_a_key_cut_out(checkpoint: Checkpoint) -> None:
    engine = Fo1Engine(checkpoint)
    opened = engine.open(SCENES)
    words = [7, 9, 11]
    asked = [
        Question(opened[0], CAPTION.format(r), max_new_tokens=3, forced_ids=tuple(words), hidden_regions=(r,))
        for r in range(3)
    ]
    others = [Question(opened[1], CAPTION.format(r), max_new_tokens=LONGEST) for r in range(7)]

    answers = engine.ask([others[0], *asked, *others[1:]])

    for region, answer in enumerate(answers[1:4]):
        assert answer.logprobs == pytest.approx(_scored_without_key(checkpoint, region, words), abs=1e-4)
    seen = engine.ask([Question(opened[0], CAPTION.format(0), max_new_tokens=3, forced_ids=tuple(words))])
    assert seen[0].logprobs != pytest.approx(answers[1].logprobs, abs=1e-4)
    assert [one.token_ids for one in engine.ask(others)] == [
        one.token_ids for one in (answers[0], *answers[4:])
    ]


def _questions(opened: list[OpenImage], checkpoint: Checkpoint) -> list[Question]:
    words = checkpoint.tokenizer.answer_ids("<ground>red star</ground><objects>")
    return [
        Question(opened[0], CAPTION.format(0), max_new_tokens=LONGEST),
        Question(opened[1], CAPTION.format(3), max_new_tokens=2, forced_ids=(5, 6), hidden_regions=(3,)),
        Question(opened[1], CAPTION.format(3), max_new_tokens=3, forced_ids=(5, 6, 7), hidden_regions=(1, 3)),
        Question(opened[1], DETECT, max_new_tokens=len(words) + 3, forced_ids=words),
        Question(opened[2], DETECT, max_new_tokens=1, watched_ids=(40, 41)),
    ]


def _numbers(answer: Generation) -> list[float]:
    choices = [value for step in answer.region_steps for value in (*step.region_logprobs, step.stop_logprob)]
    return [*answer.logprobs, *answer.margins, *answer.watched_logprobs, *choices]


@settings(deadline=None, max_examples=10)
@given(
    order=st.lists(st.integers(0, 4), min_size=1, max_size=16),
    slots=st.integers(1, 7),
    steps_per_copy=st.sampled_from([1, 3, 8]),
)
def test_scores_do_not_depend_on_the_batch(
    checkpoint: Checkpoint, order: list[int], slots: int, steps_per_copy: int
) -> None:
    one_by_one = Fo1Engine(checkpoint)
    opened = one_by_one.open(SCENES)
    alone = [one_by_one.ask([question])[0] for question in _questions(opened, checkpoint)]
    engine = Fo1Engine(checkpoint, num_slots=slots, steps_per_copy=steps_per_copy)
    asked = _questions(engine.open(SCENES), checkpoint)

    for place, answer in zip(order, engine.ask([asked[place] for place in order]), strict=True):
        assert answer.token_ids == alone[place].token_ids
        assert _numbers(answer) == pytest.approx(_numbers(alone[place]), abs=1e-4)


@given(text=st.text(alphabet="abé€😀 <>", max_size=12))
def test_ends_of_tokens_lie_in_the_text(random_checkpoint: Checkpoint, text: str) -> None:
    tokenizer = random_checkpoint.tokenizer
    ids = [*tokenizer.answer_ids(text + "<region4></objects>"), tokenizer.special.end_of_turn]
    whole = tokenizer.decode(ids)

    ends = tokenizer.ends(ids)

    assert len(ends) == len(ids)
    assert ends == sorted(ends)
    assert whole[: ends[-2]] == whole
    assert whole[: ends[-3]].endswith("<region4>")
