"""Every family of bases against transformers' own code, after `fo1 model attach`: tokens, logits, engine."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from stock_bases import BASES, StockModel, write_stock_base

from fo1_data.model.attaching.attach import attach
from fo1_data.model.bases.families import FAMILIES
from fo1_data.model.checkpoint import Checkpoint, load_checkpoint
from fo1_data.model.checkpoint_folder import BUNDLED
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import Question
from fo1_data.model.prefix_states import prompt_states
from fo1_data.model.region_fusion import embed_prompt

LONGEST = 10
QUESTIONS = ["Why?", "How many rings are there?", "Please read it."]


def picture(seed: int, width: int, height: int) -> Image.Image:
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


IMAGES = [None, picture(0, 96, 64), picture(1, 70, 130), picture(2, 96, 64)]
BOXES = np.array([[4, 4, 40, 50], [20, 8, 60, 60], [0, 0, 64, 64]], np.float32)


@pytest.fixture(scope="module", params=sorted(BASES))
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stock_base(request.param, tmp_path_factory.mktemp(request.param) / "base")


@pytest.fixture(scope="module")
def attached(base: Path) -> Checkpoint:
    attach(str(base), BUNDLED, base.parent / "attached", seed=3)
    return load_checkpoint(str(base.parent / "attached"))


@pytest.fixture(scope="module")
def stock(base: Path) -> StockModel:
    return StockModel(base)


def test_there_is_a_stock_base_of_every_family() -> None:
    assert {family.base_type for family in FAMILIES} == set(BASES)


def prompt_ids(checkpoint: Checkpoint, image: Image.Image | None, question: str) -> list[int]:
    tokenizer = checkpoint.tokenizer
    return tokenizer.prefix_ids(0, has_image=image is not None) + tokenizer.tail_ids(question)


def test_pixels_are_those_of_the_stock_processor(attached: Checkpoint, stock: StockModel) -> None:
    for image in IMAGES[1:]:
        grid, pixels = stock.patches(image)
        prepared = attached.processor.prepare(image, np.zeros((0, 4), np.float32))
        assert [1, *prepared.grid_hw] == grid
        torch.testing.assert_close(prepared.pixel_values, pixels, atol=1e-6, rtol=0)


@torch.inference_mode()
def test_logits_without_regions_are_those_of_the_base(attached: Checkpoint, stock: StockModel) -> None:
    for image, question in itertools.product(IMAGES, QUESTIONS[:2]):
        ids = prompt_ids(attached, image, question)
        features = grid_hw = None
        if image is not None:
            prepared = attached.processor.prepare(image, np.zeros((0, 4), np.float32))
            features, grid_hw = attached.model.encode_images([prepared])[0], prepared.grid_hw
        prompt = embed_prompt(attached.model, ids, features, grid_hw)
        logits = attached.model.logits(prompt_states(attached.model, prompt))
        expected = stock.logits(ids, image)
        num_own = attached.tokenizer.token_id("<ground>")
        torch.testing.assert_close(logits[:, :num_own], expected[:, :num_own], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("max_bytes", [None, 3 * 2**18])
def test_the_engine_answers_as_the_base_does_one_question_at_a_time(
    attached: Checkpoint, stock: StockModel, max_bytes: int | None
) -> None:
    engine = Fo1Engine(attached, max_bytes=max_bytes, num_slots=5)
    opened = engine.open([(image, np.zeros((0, 4), np.float32)) for image in IMAGES])
    asked = list(itertools.product(range(len(IMAGES)), QUESTIONS))

    answers = engine.ask([Question(opened[i], text, max_new_tokens=LONGEST) for i, text in asked])

    stop_id = attached.tokenizer.special.end_of_turn
    expected = [
        stock.answer(prompt_ids(attached, IMAGES[i], text), IMAGES[i], stop_id, LONGEST) for i, text in asked
    ]
    assert [answer.token_ids for answer in answers] == expected
    assert len({tuple(tokens) for tokens in expected}) > 3


@torch.inference_mode()
def test_with_regions_a_batch_answers_as_each_question_alone(attached: Checkpoint) -> None:
    pictures = [(image, BOXES[: 1 + number]) for number, image in enumerate(IMAGES) if image is not None]
    texts = ["Provide a brief description for <region0>.", *QUESTIONS]
    alone = []
    for image, boxes in pictures:
        prepared = attached.processor.prepare(image, boxes)
        (features,) = attached.model.encode_images([prepared])
        for text in texts:
            ids = attached.tokenizer.prefix_ids(len(boxes)) + attached.tokenizer.tail_ids(text)
            answer: list[int] = []
            while len(answer) < LONGEST and attached.tokenizer.special.end_of_turn not in answer:
                prompt = embed_prompt(attached.model, ids + answer, features, prepared.grid_hw)
                answer.append(int(attached.model.logits(prompt_states(attached.model, prompt)[-1]).argmax()))
            alone.append(answer)
    engine = Fo1Engine(attached, num_slots=4, steps_per_copy=3)
    opened = engine.open(pictures)

    together = engine.ask(
        [Question(image, text, max_new_tokens=LONGEST) for image in opened for text in texts]
    )

    assert [answer.token_ids for answer in together] == alone


def test_prefixes_stay_within_the_bound_and_are_prefilled_again(attached: Checkpoint) -> None:
    pictures = [(picture(seed, 130, 120), BOXES) for seed in range(12)]
    small, large = Fo1Engine(attached, max_bytes=2**20), Fo1Engine(attached)
    answers = []
    for engine in (small, large):
        opened = engine.open(pictures)
        rounds = [
            engine.ask([Question(image, "Why?", max_new_tokens=4) for image in opened]) for _ in range(2)
        ]
        answers.append([[answer.token_ids for answer in part] for part in rounds])
    assert small._cache.num_bytes <= small.budget.prefix_cache < large._cache.num_bytes
    assert answers[0] == answers[1]
    assert answers[0][0] == answers[0][1]


def test_bfloat16_answers(attached: Checkpoint) -> None:
    engine = Fo1Engine(load_checkpoint(attached.name, dtype=torch.bfloat16))
    opened = engine.open([(image, BOXES) for image in IMAGES[1:]])
    answers = engine.ask([Question(image, "Why?", max_new_tokens=4) for image in opened])
    assert all(np.isfinite(answer.logprobs).all() for answer in answers)
