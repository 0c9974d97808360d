"""Trains a tiny base on plain text, with a `curve.jsonl` of its training."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tools.fo1_tiny.muon import MuonAdamW, split_parameters
from tools.tiny_base.chats import Chat, Chats, batch_of, captions_from, looks_of
from tools.tiny_base.models import tiny_model, write_tokenizer

HELD_OUT_SEED = 600_000_000
PRACTICE_SEED = 500_000_000
_NUM_CAPTIONS = 2000
_EVERY = 100
_LOOKING = 0.5
_NOT_MUON = ("embed_tokens", "pos_embed")


@torch.inference_mode()
def share_right(model: Any, chats: list[Chat]) -> float:
    """The share of answers whose every token is the most probable one."""
    batch = batch_of(chats)
    best_BL = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.argmax(-1)
    right = [
        best_L[start - 1 : end - 1].tolist() == chat.ids[start:end]
        for chat, best_L in zip(chats, best_BL, strict=True)
        for start, end in chat.answers
    ]
    return round(float(np.mean(right)), 3)


def losses_of(model: Any, chats: list[Chat]) -> tuple[Tensor, Tensor]:
    """The mean cross-entropy of the answers' tokens, and that of two heads of what they are to look at."""
    batch = batch_of(chats)
    output = model(**batch, output_attentions=True)
    looking = torch.zeros(())
    for layer, looks in ((1, [chat.keys for chat in chats]), (2, [chat.values for chat in chats])):
        attention_BLL = output.attentions[layer][:, 0]
        wanted_BLL = looks_of(looks, attention_BLL.shape[-1])
        looked = (attention_BLL * wanted_BLL).sum(-1)[wanted_BLL.any(-1)]
        looking = looking - looked.clamp(min=1e-6).log().mean()
    return output.loss, looking


def train(
    folder: Path,
    family: str,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
    num_captions: int = _NUM_CAPTIONS,
) -> None:
    """Train a base; it is written with each line of the curve."""
    folder.mkdir(parents=True)
    write_tokenizer(folder, family)
    chats = Chats(folder, family, captions_from(num_captions, PRACTICE_SEED))
    held_out = Chats(folder, family, captions_from(120, HELD_OUT_SEED))
    test_rng, rng = np.random.default_rng(1), np.random.default_rng(seed)
    tested = {
        "descriptions": [held_out.chat(held_out.descriptions(test_rng), test_rng) for _ in range(120)],
        "words": [held_out.chat(held_out.words(test_rng), test_rng) for _ in range(120)],
    }
    model = tiny_model(folder, family, seed).train()
    model.set_attn_implementation("eager")  # which gives its attention
    optimiser = MuonAdamW(split_parameters(model.named_parameters(), _NOT_MUON), rate)
    began, losses = time.process_time(), list[list[float]]()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 60, (1 - step / steps) / 0.4)
        loss, looks = losses_of(model, [chats.practice(rng, step) for _ in range(batch)])
        optimiser.zero_grad()
        (loss + _LOOKING * looks).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimiser.step()
        losses.append([float(loss.detach()), float(looks.detach())])
        if (step + 1) % _EVERY == 0 or step + 1 == steps:
            right = {kind: share_right(model.eval(), drawn) for kind, drawn in tested.items()}
            model.train().save_pretrained(folder)
            minutes = round((time.process_time() - began) / 60, 2)
            loss_mean, looking = np.mean(np.array(losses), 0).round(4).tolist()
            line = {"step": step + 1, "minutes": minutes, "loss": loss_mean, "looking": looking, **right}
            losses = []
            print(json.dumps(line), flush=True)
            with (folder / "curve.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
