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
from tools.tiny_base.chats import Chats, batch_of, captions_from
from tools.tiny_base.comparing import write_chats
from tools.tiny_base.models import FAMILIES
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


def test_right_is_what_the_most_probable_tokens_say(tmp_path: Path) -> None:
    base = tmp_path / "base"
    train(base, FAMILIES[0], steps=1, batch=2, rate=1e-3, seed=0, num_captions=8)
    chats, rng = Chats(base, FAMILIES[0], captions_from(8, 1)), np.random.default_rng(0)
    drawn = [chats.practice(rng, 900) for _ in range(5)]
    answers = [dict(chat.answers) for chat in drawn]
    assert all(len(answer) == 4 for answer in answers)

    class Knowing(torch.nn.Module):
        """Says the next token of what it is shown, except for one chat."""

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
            logits = torch.nn.functional.one_hot(input_ids.roll(-1, 1), 2000).float()
            logits[0] = 0
            return type("Output", (), {"logits": logits})

    assert share_right(Knowing(), drawn) == 0.8
    labels = batch_of(drawn)["labels"]
    ends = [labels[row, end - 1].item() for row, chat in enumerate(drawn) for _, end in chat.answers]
    assert len(set(ends)) == 1  # each answer ends with the end of the turn
