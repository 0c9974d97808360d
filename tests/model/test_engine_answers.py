"""The engine's answers equal those of each question asked alone, whatever else is in the batch."""

import gc
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fo1_data.benchmarks.plain_loop import answer_alone
from fo1_data.model.checkpoint import Checkpoint, load_checkpoint
from fo1_data.model.checkpoint_folder import BUNDLED
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import OpenImage, Question

LONGEST = 12
QUESTIONS = [
    "Provide a brief description for <region0>.",
    "Please detect red star in this image. Answer the question with object indexes.",
    "How many rings are there?",
    "Why?",
]

Picture = tuple[Image.Image | None, np.ndarray]


def _picture(seed: int, width: int, height: int, num_boxes: int) -> Picture:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    corners = random.uniform(0, 1, (num_boxes, 2, 2)) * [width, height]
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    return Image.fromarray(pixels), boxes


PICTURES: list[Picture] = [
    _picture(0, 96, 64, 3),
    _picture(1, 60, 120, 1),
    _picture(2, 96, 64, 7),
    _picture(3, 84, 84, 0),
    (None, np.zeros((0, 4), np.float32)),
]


@pytest.fixture(scope="module", params=["random", "golden", BUNDLED])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    if request.param == "random":
        return request.getfixturevalue("random_checkpoint")
    if request.param == "golden":
        return load_checkpoint(str(request.getfixturevalue("golden") / "model"))
    return load_checkpoint(BUNDLED)


@pytest.fixture(scope="module")
def alone(checkpoint: Checkpoint) -> dict[tuple[int, int], list[int]]:
    return {
        (p, q): answer_alone(checkpoint, image, boxes, question, LONGEST)
        for p, (image, boxes) in enumerate(PICTURES)
        for q, question in enumerate(QUESTIONS)
    }


@settings(deadline=None, max_examples=12)
@given(
    order=st.lists(
        st.tuples(st.integers(0, len(PICTURES) - 1), st.integers(0, len(QUESTIONS) - 1)),
        min_size=1,
        max_size=24,
    ),
    slots=st.integers(1, 9),
    megabytes=st.sampled_from([1, 64]),
    steps_per_copy=st.sampled_from([1, 2, 5, 8]),
)
def test_answers_do_not_depend_on_the_batch(
    checkpoint: Checkpoint,
    alone: dict[tuple[int, int], list[int]],
    order: list[tuple[int, int]],
    slots: int,
    megabytes: int,
    steps_per_copy: int,
) -> None:
    engine = Fo1Engine(
        checkpoint, max_bytes=megabytes * 2**20, num_slots=slots, steps_per_copy=steps_per_copy
    )
    opened = engine.open(PICTURES)

    answers = engine.ask([Question(opened[p], QUESTIONS[q], max_new_tokens=LONGEST) for p, q in order])

    assert [answer.token_ids for answer in answers] == [alone[asked] for asked in order]


def test_asking_again_about_open_images_gives_the_same(
    checkpoint: Checkpoint, alone: dict[tuple[int, int], list[int]]
) -> None:
    engine = Fo1Engine(checkpoint)
    opened = engine.open(PICTURES[:3])
    engine.ask([Question(opened[0], QUESTIONS[2], max_new_tokens=LONGEST)])
    engine.close(opened[:1])

    later = engine.ask([Question(opened[1], QUESTIONS[0], max_new_tokens=LONGEST)])

    assert later[0].token_ids == alone[1, 0]
    with pytest.raises(ValueError, match="not open"):
        engine.ask([Question(opened[0], "Why?")])


def test_numbers_of_an_answer_are_those_of_its_tokens(random_checkpoint: Checkpoint) -> None:
    engine = Fo1Engine(random_checkpoint)
    opened = engine.open(PICTURES[:1])
    (answer,) = engine.ask([Question(opened[0], "Why?", max_new_tokens=LONGEST)])

    assert len(answer.token_ids) == len(answer.logprobs) == len(answer.margins) == len(answer.entropies)
    assert all(value <= 0 for value in answer.logprobs)
    assert all(value >= 0 for value in (*answer.margins, *answer.entropies))
    assert answer.finished == (answer.token_ids[-1] == random_checkpoint.tokenizer.special.end_of_turn)


def test_over_a_hundred_boxes_lie_in_chunks_and_none_is_lost(random_checkpoint: Checkpoint) -> None:
    image, boxes = _picture(5, 120, 90, 230)
    engine = Fo1Engine(random_checkpoint)
    (opened,) = engine.open([(image, boxes)])

    assert opened.num_regions == 230
    assert [opened.regions_in(chunk) for chunk in range(3)] == [100, 100, 30]
    places = [opened.locate(region) for region in range(230)]
    assert places[0] == (0, 0)
    assert places[100] == (1, 0)
    assert places[229] == (2, 29)
    _same_as_alone(engine, random_checkpoint, opened, image, boxes)


def _same_as_alone(
    engine: Fo1Engine, checkpoint: Checkpoint, opened: OpenImage, image: Image.Image | None, boxes: np.ndarray
) -> None:
    asked = [Question(opened, QUESTIONS[0], chunk=chunk, max_new_tokens=LONGEST) for chunk in range(3)]
    answers = engine.ask(asked)
    for chunk, answer in enumerate(answers):
        part = boxes[100 * chunk : 100 * chunk + 100]
        assert answer.token_ids == answer_alone(checkpoint, image, part, QUESTIONS[0], LONGEST)


class SmallMemory(TorchDispatchMode):
    """A device on which no tensor takes more than `max_bytes`; keeps the largest it was asked for."""

    def __init__(self, max_bytes: float = math.inf) -> None:
        super().__init__()
        self.max_bytes = max_bytes
        self.largest_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        sizes = [leaf.nbytes for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        self.largest_bytes = max([self.largest_bytes, *sizes])
        if max(sizes, default=0) > self.max_bytes:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return out


def test_running_out_of_memory_splits_and_goes_on(random_checkpoint: Checkpoint) -> None:
    """A device that holds one image at a time while it is encoded, and then one question."""
    engine = Fo1Engine(random_checkpoint)
    with SmallMemory() as for_an_image:
        opened = [engine.open([picture])[0] for picture in PICTURES]
    with SmallMemory() as for_a_question:
        expected = [
            engine.ask([Question(image, text, max_new_tokens=LONGEST)])[0].token_ids
            for image in opened
            for text in QUESTIONS
        ]

    engine = Fo1Engine(random_checkpoint)
    with SmallMemory(for_an_image.largest_bytes) as memory:
        opened = engine.open(PICTURES)
    assert memory.largest_bytes > memory.max_bytes
    with SmallMemory(for_a_question.largest_bytes) as memory:
        answers = engine.ask(
            [Question(image, text, max_new_tokens=LONGEST) for image in opened for text in QUESTIONS]
        )
    assert memory.largest_bytes > memory.max_bytes
    assert [answer.token_ids for answer in answers] == expected


class NoRoomFor(TorchDispatchMode):
    """Refuses tensors of one shape."""

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.shape = shape

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if any(isinstance(leaf, torch.Tensor) and leaf.shape == self.shape for leaf in tree_leaves(out)):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return out


def test_a_prompt_that_does_not_fit_is_a_memory_error_and_leaves_no_image_open(
    random_checkpoint: Checkpoint,
) -> None:
    engine, pictures = Fo1Engine(random_checkpoint), [_picture(1, 60, 60, 1), _picture(2, 200, 160, 3)]
    small, large = engine.open(pictures)
    shape = large.prompts[0].embeds.shape
    engine.close([small, large])
    del small, large
    gc.collect()
    before = sum(type(held) is OpenImage for held in gc.get_objects())

    with NoRoomFor(shape), pytest.raises(MemoryError):
        engine.open(pictures)

    gc.collect()
    assert sum(type(held) is OpenImage for held in gc.get_objects()) == before


def test_on_a_cpu_a_batch_of_photographs_takes_the_memory_of_one(random_checkpoint: Checkpoint) -> None:
    photographs = [_picture(seed, 1600, 1200, num_boxes=2) for seed in range(2)]
    largest_bytes = []
    for pictures in (photographs[:1], photographs):
        with SmallMemory() as memory:
            Fo1Engine(random_checkpoint).open(pictures)
        largest_bytes.append(memory.largest_bytes)
    assert largest_bytes[0] == largest_bytes[1]


@pytest.mark.parametrize(
    ("max_bytes", "picture", "message"),
    [
        (1000, PICTURES[0], "image of 96 x 64 px does not fit on the device"),
        (math.inf, PICTURES[3], "one question does not fit on the device"),
    ],
)
def test_what_does_not_fit_alone_is_a_memory_error(
    random_checkpoint: Checkpoint, max_bytes: float, picture: Picture, message: str
) -> None:
    engine = Fo1Engine(random_checkpoint)
    prepared = random_checkpoint.processor.prepare(*picture)
    with pytest.raises(MemoryError, match=message):
        with SmallMemory(max_bytes):
            (opened,) = engine.open_prepared([prepared])
        with SmallMemory(1000):
            engine.ask([Question(opened, "Why?")])


def test_images_of_one_size_are_encoded_together_wherever_they_are_in_the_list(
    random_checkpoint: Checkpoint,
) -> None:
    sizes = [(96, 64), (60, 120), (96, 64), (84, 84), (96, 64), (60, 120)]
    pictures = [_picture(seed, *size, num_boxes=1 + seed % 3) for seed, size in enumerate(sizes)]
    tower, batches = random_checkpoint.model.vision_tower_aux, []
    hook = tower.register_forward_pre_hook(lambda _, args: batches.append(tuple(args[0].shape)))
    try:
        alone = [Fo1Engine(random_checkpoint).open([picture])[0] for picture in pictures]
        batches.clear()
        together = Fo1Engine(random_checkpoint).open(pictures)
    finally:
        hook.remove()
    assert sorted(batches) == [(1, 3, 84, 84), (2, 3, 120, 60), (3, 3, 64, 96)]
    for mine, other in zip(together, alone, strict=True):
        torch.testing.assert_close(mine.prompts[0].embeds, other.prompts[0].embeds, atol=1e-4, rtol=1e-4)


def test_prefixes_stay_within_the_bound(random_checkpoint: Checkpoint) -> None:
    engine = Fo1Engine(random_checkpoint, max_bytes=3 * 2**18)
    opened = engine.open([_picture(seed, 90, 80, 5) for seed in range(12)])
    engine.ask([Question(image, "Why?", max_new_tokens=4) for image in opened])

    assert 0 < engine._cache.num_bytes <= 2**18


def test_bfloat16_answers(random_folder: Path) -> None:
    engine = Fo1Engine(load_checkpoint(str(random_folder), dtype=torch.bfloat16))
    opened = engine.open(PICTURES)
    answers = engine.ask([Question(image, "Why?", max_new_tokens=4) for image in opened])
    assert all(np.isfinite(answer.logprobs).all() for answer in answers)
