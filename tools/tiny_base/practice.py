"""Trains a tiny base on plain text, with a `curve.jsonl` of its training."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tools.fo1_tiny.muon import MuonAdamW, split_parameters
from tools.tiny_base.chats import Chat, Chats, batch_of, captions_from
from tools.tiny_base.models import tiny_model, write_tokenizer

HELD_OUT_SEED = 600_000_000
PRACTICE_SEED = 500_000_000
_NUM_CAPTIONS = 2000
_EVERY = 200
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


def train(
    folder: Path,
    family: str,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
    start: Path | None = None,
    num_captions: int = _NUM_CAPTIONS,
) -> None:
    """Train a base; it is written with each line of the curve. start: an earlier one to go on from."""
    folder.mkdir(parents=True)
    write_tokenizer(folder, family)
    chats = Chats(folder, family, captions_from(num_captions, PRACTICE_SEED))
    held_out = Chats(folder, family, captions_from(120, HELD_OUT_SEED))
    test_rng, rng = np.random.default_rng(1), np.random.default_rng(seed)
    tested = {
        "descriptions": [held_out.chat(held_out.descriptions(test_rng), test_rng) for _ in range(120)],
        "words": [held_out.chat(held_out.words(test_rng), test_rng) for _ in range(120)],
    }
    model = tiny_model(folder, family, seed)
    if start is not None:
        model = type(model).from_pretrained(start)
    model.train()
    optimiser = MuonAdamW(split_parameters(model.named_parameters(), _NOT_MUON), rate)
    began, losses = time.process_time(), list[float]()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 60, (1 - step / steps) / 0.4)
        loss = model(**batch_of([chats.practice(rng, None if start else step) for _ in range(batch)])).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        if (step + 1) % _EVERY == 0 or step + 1 == steps:
            right = {kind: share_right(model.eval(), drawn) for kind, drawn in tested.items()}
            model.train().save_pretrained(folder)
            minutes = round((time.process_time() - began) / 60, 2)
            line = {"step": step + 1, "minutes": minutes, "loss": round(float(np.mean(losses)), 4), **right}
            losses = []
            print(json.dumps(line), flush=True)
            with (folder / "curve.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
