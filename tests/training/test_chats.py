"""General questions beside the images of a run: what is shown, when, and what becomes of it."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fo1_data.errors import ConfigError
from fo1_data.model.checkpoint import Checkpoint, load_checkpoint
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import Question
from fo1_data.synthetic.gold import write_scenes
from fo1_data.training.run import train
from fo1_data.training.samples.batches import Batches
from fo1_data.training.samples.chats import Chat, ChatDraws, read_chats
from fo1_data.training.samples.source import open_source
from fo1_data.training.settings import TrainConfig, load_train_config
from fo1_data.training.trainer import Trainer

CONFIG = TrainConfig(
    steps=2, batch_images=1, questions_per_image=2, warmup_steps=0, decay_share=0, learning_rate=1e-3,
    measured_images=0, chats_per_step=3, device="cpu", threads=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def tiny() -> Checkpoint:
    return load_checkpoint("fo1-tiny")


def write_chats(path: Path, *chats: object) -> str:
    path.write_text("\n".join(map(json.dumps, chats)))
    return str(path)


def test_an_answer_has_the_loss_that_the_engine_gives_it(tiny: Checkpoint, tmp_path: Path) -> None:
    """In text alone, about a whole image, and beside an image with regions."""
    pixels = np.random.default_rng(0).integers(0, 255, (70, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    chats = [
        {"question": "Is this <region0>\na red star?", "answer": "no"},
        {"question": "Provide a description.", "answer": "large red ring", "image": "a.png"},
    ]
    found = read_chats(write_chats(tmp_path / "chats.jsonl", *chats)).chats
    trainer = Trainer(tiny, 1, CONFIG)
    draws = ChatDraws(found, tiny, CONFIG.model_copy(update={"chats_per_step": 2}))
    scenes = write_scenes(tmp_path / "scenes", 1, 70, (2, 2)).parent
    (scene,) = Batches(open_source([str(scenes)]), tiny, CONFIG).of_step(0)
    images = [scene, *draws.of_step(0)]
    assert [image.prepared is None for image in images].count(True) == 1

    engine = Fo1Engine(load_checkpoint("fo1-tiny"))
    none = np.zeros((0, 4), np.float32)
    about_text, about_image = engine.open([(None, none), (Image.fromarray(pixels), none)])
    expected = 0.0
    for opened, chat in ((about_text, chats[0]), (about_image, chats[1])):
        ids = (*tiny.tokenizer.answer_ids(chat["answer"]), tiny.tokenizer.special.end_of_turn)
        asked = chat["question"].replace("<region0>", " ").replace("  ", " ")
        (said,) = engine.ask([Question(opened, asked, max_new_tokens=len(ids), forced_ids=ids)])
        expected -= sum(said.logprobs)
    with torch.no_grad():
        of_scene = trainer.summed_loss([scene]).item()
        assert trainer.summed_loss(images).item() - of_scene == pytest.approx(expected, abs=1e-3)


@dataclass(frozen=True)
class OneOfSome:
    """A worker among some."""

    rank: int
    num: int

    def share_of(self, places: Sequence[int]) -> list[int]:
        return list(places[self.rank :: self.num])


@given(
    number=st.integers(1, 12),
    per_step=st.integers(1, 5),
    num_workers=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_each_epoch_shows_every_chat_once_whatever_the_workers(
    tiny: Checkpoint, number: int, per_step: int, num_workers: int, seed: int
) -> None:
    chats = [Chat(question="Is it?", answer=str(place)) for place in range(number)]
    config = CONFIG.model_copy(update={"chats_per_step": per_step, "seed": seed})
    epochs = 2 * per_step  # whole steps
    shown = [
        image.questions[0].answer
        for rank in range(num_workers)
        for step in range(epochs * number // per_step)
        for image in ChatDraws(chats, tiny, config, OneOfSome(rank, num_workers)).of_step(step)
    ]
    assert Counter(shown) == dict.fromkeys(map(str, range(number)), epochs)


@given(
    number=st.integers(1, 9),
    per_step=st.integers(1, 5),
    seed=st.integers(0, 9),
    steps=st.lists(st.integers(0, 40), min_size=1, max_size=12),
)
def test_a_step_has_the_same_chats_whichever_steps_came_before(
    tiny: Checkpoint, number: int, per_step: int, seed: int, steps: list[int]
) -> None:
    """So a run that goes on trains as if it had not stopped, also one begun by an earlier version."""
    orders = [
        np.random.default_rng([seed, epoch, 1]).permutation(number).tolist()
        for epoch in range(41 * per_step // number + 1)
    ]
    series = [str(chat) for order in orders for chat in order]
    chats = [Chat(question="Is it?", answer=str(place)) for place in range(number)]
    draws = ChatDraws(chats, tiny, CONFIG.model_copy(update={"chats_per_step": per_step, "seed": seed}))
    for step in steps:
        shown = [image.questions[0].answer for image in draws.of_step(step)]
        assert shown == series[step * per_step : (step + 1) * per_step]


def test_an_image_that_goes_while_a_run_goes_on_is_left_out(tiny: Checkpoint, tmp_path: Path) -> None:
    path = write_chats(tmp_path / "chats.jsonl", {"question": "A?", "answer": "b", "image": "a.png"})
    (tmp_path / "a.png").touch()
    chats = read_chats(path).chats
    (tmp_path / "a.png").unlink()
    assert ChatDraws(chats, tiny, CONFIG).of_step(0) == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"question": "A?", "answer": "b"}\n\nnot json', "line 3"),
        ('{"question": "A?"}', "line 1: answer: Field required"),
        ('{"question": "A?", "answer": "b", "picture": "a.png"}', "line 1: picture"),
        ('{"question": "A?", "answer": "b", "pic\\nture": "a.png"}', "line 1: pic ture: "),
        ('{"question": "A?", "answer": "<|im_end|>"}', "line 1: the answer holds reserved tokens only"),
        ('{"question": "<ground>", "answer": "b"}', "line 1: the question holds reserved tokens only"),
        ('{"question": "A?", "answer": "b", "image": "a.png"}', "line 1: the image a.png is not there"),
        (f'{{"question": "A?", "answer": "b", "image": "{"a" * 300}"}}', "line 1: the image a+ is not there"),
        ("\n", "holds no chat"),
    ],
)
def test_a_line_that_is_no_chat_is_named(tmp_path: Path, lines: str, message: str) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text(lines)
    with pytest.raises(ConfigError, match=message) as refused:
        read_chats(str(path))
    assert "\n" not in str(refused.value)


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text('{"question": "A?", "answer": "b"}\n', encoding="utf-8-sig")
    assert read_chats(str(path)).chats == [Chat(question="A?", answer="b")]


def test_a_run_learns_its_chats_and_says_what_they_were(tmp_path: Path) -> None:
    scenes = write_scenes(tmp_path / "scenes", 2, 70, (2, 3))
    path = write_chats(tmp_path / "chats.jsonl", {"question": "Is it?", "answer": "yes, a pink ring"})
    (tmp_path / "settings.toml").write_text('chats = "chats.jsonl"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        settings = load_train_config(str(tmp_path / "settings.toml"))
    assert settings.chats == path  # workers run in another folder
    answers = []
    for name, chats in (("with", path), ("without", None)):
        config = CONFIG.model_copy(update={"steps": 20, "chats": chats})
        train([str(scenes)], 2, "fo1-tiny", tmp_path / name, config)
        engine = Fo1Engine(load_checkpoint(str(tmp_path / name)))
        opened = engine.open([(None, np.zeros((0, 4), np.float32))])
        (answer,) = engine.ask([Question(opened[0], "Is it?", max_new_tokens=12)])
        answers.append(engine.checkpoint.tokenizer.decode(answer.token_ids))
    assert answers[0] == "yes, a pink ring" != answers[1]
    lineage = json.loads((tmp_path / "with" / "lineage.json").read_text())
    assert lineage["chats"] == {
        "address": path,
        "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
    }
    assert "chats" not in json.loads((tmp_path / "without" / "lineage.json").read_text())


def test_a_run_does_not_go_on_with_other_chats(tmp_path: Path) -> None:
    """The address is the same, and the weights would not be those of an undisturbed run."""
    scenes = write_scenes(tmp_path / "scenes", 2, 70, (2, 3))
    path = write_chats(tmp_path / "chats.jsonl", {"question": "Is it?", "answer": "yes"})
    config = CONFIG.model_copy(update={"steps": 1, "chats": path})
    train([str(scenes)], 2, "fo1-tiny", tmp_path / "out", config)
    write_chats(tmp_path / "chats.jsonl", {"question": "Is it?", "answer": "no"})
    longer = config.model_copy(update={"steps": 2})
    with pytest.raises(ConfigError, match=r"out was begun with other chats in .*chats\.jsonl"):
        train([str(scenes)], 2, "fo1-tiny", tmp_path / "out", longer)
    write_chats(tmp_path / "chats.jsonl", {"question": "Is it?", "answer": "yes"})
    assert train([str(scenes)], 2, "fo1-tiny", tmp_path / "out", longer)["steps"] == 2


def test_a_run_whose_file_is_gone_does_not_begin(tmp_path: Path) -> None:
    scenes = write_scenes(tmp_path / "scenes", 2, 70, (2, 3))
    config = CONFIG.model_copy(update={"chats": str(tmp_path / "gone.jsonl")})
    with pytest.raises(ConfigError, match=r"gone\.jsonl: cannot be read"):
        train([str(scenes)], 2, "fo1-tiny", tmp_path / "out", config)
    assert not (tmp_path / "out").exists()
