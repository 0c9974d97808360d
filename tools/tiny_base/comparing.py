"""How checkpoints answer their base's own chats: what training has cost it."""

import json
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.prefix_states import prompt_states
from fo1_data.model.region_fusion import embed_prompt
from tools.tiny_base.chats import Chats, captions_from
from tools.tiny_base.practice import HELD_OUT_SEED, PRACTICE_SEED

_NUM_CHATS = 200


@torch.inference_mode()
def compare(base: Path, family: str, checkpoints: list[str]) -> None:
    """Print how checkpoints answer 200 of the base's chats in plain text, none of which was practised.

    nats: of an answer token. right: share of answers whose every token is the most probable one. same: share
    of answers equal to the first checkpoint's.
    """
    rng = np.random.default_rng(7)
    chats = Chats(base, family, captions_from(_NUM_CHATS, HELD_OUT_SEED))
    drawn, first = [chats.chat(chats.descriptions(rng), rng) for _ in range(_NUM_CHATS)], None
    for name in checkpoints:
        model, losses, answers = load_checkpoint(name).model, [], []
        right = []
        for chat in drawn:
            [(start, _)] = chat.answers
            answer = chat.ids[start:]
            prompt = embed_prompt(model, chat.ids[:-1], None, None)
            logits_NV = model.logits(prompt_states(model, prompt))[start - 1 :]
            losses.append(cross_entropy(logits_NV, torch.tensor(answer), reduction="none"))
            answers.append(logits_NV.argmax(-1).tolist())
            right.append(answers[-1] == answer)
        first = first or answers
        same = np.mean([found == other for found, other in zip(answers, first, strict=True)])
        nats = round(float(torch.cat(losses).mean()), 4)
        line = {"model": name, "nats": nats, "right": float(np.mean(right)), "same": float(same)}
        print(json.dumps(line), flush=True)


def write_chats(base: Path, family: str, out: Path, count: int) -> None:
    """Write chats such as the base has practised, one answer each, as `fo1 train` takes them (`chats`)."""
    rng = np.random.default_rng(11)
    chats = Chats(base, family, captions_from(_NUM_CHATS, PRACTICE_SEED))
    with out.open("w", encoding="utf-8") as file:
        for _ in range(count):
            listing = chats.descriptions(rng)
            asked = int(rng.permutation(len(listing.keys))[0])
            chat = {"question": f"{listing}\n{listing.question(asked)}", "answer": listing.values[asked]}
            file.write(json.dumps(chat) + "\n")
