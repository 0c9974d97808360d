"""The tiny bases of docs/plug-and-play.md: what is written loads, attaches, and reads its own chats."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fo1_data.model.attaching.attach import attach
from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.checkpoint_folder import BUNDLED
from fo1_data.training.samples.chats import ChatDraws, read_chats
from fo1_data.training.settings import TrainConfig
from tools.tiny_base.chats import Chats, captions_from
from tools.tiny_base.comparing import write_chats
from tools.tiny_base.models import FAMILIES, write_tokenizer
from tools.tiny_base.practice import share_right, train


@pytest.mark.parametrize("family", FAMILIES)
def test_a_base_attaches_and_its_chats_are_those_it_practised(family: str, tmp_path: Path) -> None:
    base = tmp_path / "base"
    train(base, family, steps=1, batch=2, rate=1e-3, seed=0, num_captions=8)
    attach(str(base), BUNDLED, tmp_path / "untrained")
    checkpoint = load_checkpoint(str(tmp_path / "untrained"))

    write_chats(base, family, tmp_path / "chats.jsonl", 6)
    written = read_chats(str(tmp_path / "chats.jsonl")).chats
    config = TrainConfig(chats_per_step=6)
    shown = ChatDraws(written, checkpoint, config).of_step(0)
    prefix = checkpoint.tokenizer.prefix_ids(0, has_image=False)
    trained_on = {(*prefix, *image.packed.ids.tolist()) for image in shown}
    chats, rng = Chats(base, family, captions_from(200, 500_000_000)), np.random.default_rng(11)
    practised = set()
    for _ in range(6):
        listing = chats.descriptions(rng)
        practised.add(tuple(chats.chat(listing, rng).ids[:-1]))
    assert trained_on == practised


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Chats:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, FAMILIES[0])
    return Chats(folder, FAMILIES[0], captions_from(8, 1))


def test_an_answer_stands_behind_its_key_in_the_list(chats: Chats) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        chat = chats.practice(rng, 900)
        of_values, of_answers = chat.keys[: -len(chat.answers)], chat.keys[-len(chat.answers) :]
        key_of = {look.start: chat.ids[look.first] for look in of_values}
        assert len(set(key_of.values())) == len(key_of)
        for (start, end), asked, source in zip(chat.answers, of_answers, chat.values, strict=True):
            assert chat.ids[asked.first] == key_of[source.first]
            assert source.last - source.first == end - 1 - start  # the end of the turn is in no list
            assert (source.start, source.end) == (asked.start, asked.end) == (start - 1, end - 2)


def test_right_is_what_the_most_probable_tokens_say(chats: Chats) -> None:
    rng = np.random.default_rng(0)
    drawn = [chats.practice(rng, 900) for _ in range(5)]

    class Knowing(torch.nn.Module):
        """Says the next token of what it is shown, except for the first chat."""

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
            logits = torch.nn.functional.one_hot(input_ids.roll(-1, 1), 2000).float()
            logits[0] = 0
            return type("Output", (), {"logits": logits})

    counts = [len(chat.answers) for chat in drawn]
    assert share_right(Knowing(), drawn) == pytest.approx(sum(counts[1:]) / sum(counts), abs=1e-3)
