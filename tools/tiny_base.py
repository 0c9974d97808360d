"""A tiny base shaped like Qwen3-VL, trained from nothing: what docs/plug-and-play.md attaches regions to.

`python -m tools.tiny_base FOLDER` writes it as transformers does, with a `curve.jsonl` of its training. It
learns to look up one of up to four descriptions by its letter, in plain text, and by `--image-share` to
describe the one object of a generated scene. It sees no regions and no boxes. The network is
transformers' own class; the words are those of fo1-tiny's tokenizer.

Shapes: B chats, L tokens of the longest.
"""

import argparse
import json
import shutil
import string
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from fo1_data.model.attaching.region_tokens import REGION_TOKENS
from fo1_data.model.bases.families import family_of_base
from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.checkpoint_folder import BUNDLED, find_checkpoint
from fo1_data.model.prefix_states import prompt_states
from fo1_data.model.region_fusion import embed_prompt
from fo1_data.model.tokenizer_files import read_tokenizer
from fo1_data.synthetic.scenes import make_scene
from fo1_data.synthetic.wording import brief_caption
from tools.fo1_tiny.muon import MuonAdamW, split_parameters

SIDE_PX = 96
QUESTION = "Provide a brief description for this image."
_LETTERS = string.ascii_uppercase
_PATCH, _MERGE, _PAD = 16, 2, "<|endoftext|>"
_GRID = SIDE_PX // _PATCH
_HELD_OUT_SEED = 600_000_000
_IGNORED, _EVERY = -100, 100
_NOT_MUON = ("embed_tokens", "pos_embed")
_NOT_OF_A_BASE = {*REGION_TOKENS, "<think>", "</think>", "<regionfeat>"}
_IMAGES = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "patch_size": _PATCH,
    "merge_size": _MERGE,
    "temporal_patch_size": 2,
    "size": {"shortest_edge": SIDE_PX**2, "longest_edge": 2 * SIDE_PX**2},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


@dataclass(frozen=True)
class Chat:
    """A turn and its answer. images: numbers of pictures, in the order of the placeholders in `ids`."""

    ids: list[int]
    answer_ids: list[int]
    images: list[int]


def single_objects(count: int, first_seed: int) -> list[tuple[Image.Image, str]]:
    """Pictures of one object each, with its brief caption."""
    scenes = (make_scene(seed, (1, 1), (SIDE_PX, SIDE_PX)) for seed in range(first_seed, first_seed + count))
    return [(scene.image, brief_caption(scene.objects[0])) for scene in scenes]


def write_tokenizer(folder: Path) -> None:
    """The tokenizer of fo1-tiny without the tokens that a base does not have."""
    source = find_checkpoint(BUNDLED)
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(source / name, folder / name)
    settings = json.loads((source / "tokenizer_config.json").read_text())
    added = settings["added_tokens_decoder"]
    kept = [entry for entry in added.values() if entry["content"] not in _NOT_OF_A_BASE]
    first = min(map(int, added))
    settings["added_tokens_decoder"] = {str(first + place): entry for place, entry in enumerate(kept)}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))
    (folder / "preprocessor_config.json").write_text(json.dumps(_IMAGES, indent=1))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nA tiny base, see tools/tiny_base.py.\n")


class Chats:
    """Draws chats about a set of pictures."""

    def __init__(self, folder: Path, captions: list[str]) -> None:
        self._tokenizer, self._captions = read_tokenizer(folder), captions
        family = family_of_base("qwen3_vl")
        assert family is not None
        self._markup = family.markup
        self.image_id, self.pad_id = (self._id_of(token) for token in ("<|image_pad|>", _PAD))

    def _id_of(self, token: str) -> int:
        number: int | None = self._tokenizer.token_to_id(token)
        assert number is not None
        return number

    def draw(self, rng: np.random.Generator, image_share: float) -> Chat:
        """About one image, by the share given; otherwise a list in plain text."""
        if rng.random() < image_share:
            number = int(rng.integers(len(self._captions)))
            return self._chat(f"{_IMAGE}\n{QUESTION}", self._captions[number], [number])
        count = int(rng.integers(1, 5))
        numbers = [int(number) for number in rng.integers(len(self._captions), size=count)]
        letters = rng.permutation(list(_LETTERS))[:count]
        asked = int(rng.integers(count))
        listed = "".join(
            f"{letter} {self._captions[number]}" for letter, number in zip(letters, numbers, strict=True)
        )
        question = f"{listed}\nProvide a brief description for {letters[asked]}."
        return self._chat(question, self._captions[numbers[asked]], [])

    def _chat(self, question: str, answer: str, images: list[int]) -> Chat:
        whole = self._markup.text_only + "\n" + question + self._markup.turn_end
        ids = self._tokenizer.encode(whole, add_special_tokens=False).ids
        answer_ids = self._tokenizer.encode(answer + self._markup.end_of_turn, add_special_tokens=False).ids
        return Chat(ids, answer_ids, images)

    def batch(self, chats: list[Chat], pixels: Tensor) -> dict[str, Tensor]:
        """What the model takes. pixels: (pictures, patches, values)."""
        longest = max(len(chat.ids) + len(chat.answer_ids) for chat in chats)
        ids_BL = torch.full((len(chats), longest), self.pad_id)
        labels_BL, mask_BL = torch.full_like(ids_BL, _IGNORED), torch.zeros_like(ids_BL)
        for row, chat in enumerate(chats):
            start, end = len(chat.ids), len(chat.ids) + len(chat.answer_ids)
            ids_BL[row, :end] = torch.tensor(chat.ids + chat.answer_ids)
            labels_BL[row, start:end] = torch.tensor(chat.answer_ids)
            mask_BL[row, :end] = 1
        inputs = {"input_ids": ids_BL, "labels": labels_BL, "attention_mask": mask_BL}
        images = [number for chat in chats for number in chat.images]
        if images:
            inputs |= {
                "pixel_values": pixels[images].flatten(0, 1),
                "image_grid_thw": torch.tensor([[1, _GRID, _GRID]] * len(images)),
                "mm_token_type_ids": ids_BL.eq(self.image_id).int(),
            }
        return inputs


_IMAGE = "<|vision_start|>" + "<|image_pad|>" * (_GRID // _MERGE) ** 2 + "<|vision_end|>"


def patches_of(image: Image.Image) -> Tensor:
    """(patches, values) of a picture, as Qwen3-VL's processor gives them."""
    pixels = torch.from_numpy(np.asarray(image).copy()).float() / 127.5 - 1
    side = _GRID // _MERGE
    grid = pixels.view(side, _MERGE, _PATCH, side, _MERGE, _PATCH, 3).permute(0, 3, 1, 4, 6, 2, 5)
    doubled = grid[..., None, :, :].expand(*grid.shape[:5], 2, _PATCH, _PATCH)
    return doubled.reshape(_GRID**2, -1)


def tiny_model(folder: Path, seed: int) -> Any:
    """A new model for the tokenizer in the folder."""
    tokenizer = read_tokenizer(folder)
    text = {
        "vocab_size": tokenizer.get_vocab_size(with_added_tokens=True),
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": 32,
        "max_position_embeddings": 4096,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e4,
            "mrope_section": [8, 4, 4],
            "mrope_interleaved": True,
        },
        "pad_token_id": None,
    }
    vision = {
        "depth": 4,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 4,
        "out_hidden_size": 128,
        "num_position_embeddings": _GRID**2,
        "deepstack_visual_indexes": [0, 1, 2],
        "patch_size": _PATCH,
    }
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    ids = {name: tokenizer.token_to_id(token) for name, token in names.items()}
    torch.manual_seed(seed)
    kind: Any = Qwen3VLConfig
    config = kind(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)
    return Qwen3VLForConditionalGeneration(config)


def shares_right(model: Any, chats: Chats, drawn: list[Chat], pixels: Tensor) -> dict[str, float]:
    """The share of answers whose every token is the most probable one, by kind of chat."""
    right: dict[str, list[bool]] = {}
    for chat in drawn:
        inputs = chats.batch([chat], pixels)
        with torch.no_grad():
            best = model(**inputs).logits[0, len(chat.ids) - 1 : -1].argmax(-1).tolist()
        kind = "image" if chat.images else "text"
        right.setdefault(kind, []).append(best == chat.answer_ids)
    return {kind: round(float(np.mean(values)), 3) for kind, values in sorted(right.items())}


def train(
    folder: Path, minutes: float, pictures: int, batch: int, rate: float, image_share: float, seed: int
) -> None:
    """Train for so long by the processor's clock; the base is written with each line of the curve."""
    folder.mkdir(parents=True)
    write_tokenizer(folder)
    shown = single_objects(pictures, 500_000_000)
    held_out = single_objects(120, _HELD_OUT_SEED)
    pixels, other_pixels = (
        torch.stack([patches_of(image) for image, _ in part]) for part in (shown, held_out)
    )
    chats, others = (Chats(folder, [caption for _, caption in part]) for part in (shown, held_out))
    test_rng, rng = np.random.default_rng(1), np.random.default_rng(seed)
    tested = [others.draw(test_rng, image_share) for _ in range(120)]
    model = tiny_model(folder, seed).train()
    optimiser = MuonAdamW(split_parameters(model.named_parameters(), _NOT_MUON), rate)
    began, step, losses = time.process_time(), 0, []
    while (elapsed := (time.process_time() - began) / 60) < minutes:
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 60, (1 - elapsed / minutes) / 0.4)
        loss = model(**chats.batch([chats.draw(rng, image_share) for _ in range(batch)], pixels)).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        step += 1
        if step % _EVERY == 0:
            figures = shares_right(model.eval(), others, tested, other_pixels)
            model.train()
            line = {"step": step, "minutes": round(elapsed, 1), "loss": round(float(np.mean(losses)), 4)}
            print(json.dumps({**line, **figures}), flush=True)
            with (folder / "curve.jsonl").open("a") as file:
                file.write(json.dumps({**line, **figures}) + "\n")
            losses = []
            model.save_pretrained(folder)
    model.save_pretrained(folder)


@torch.inference_mode()
def compare(base: Path, checkpoints: list[str]) -> None:
    """Print how checkpoints answer 200 of the base's chats in plain text.

    nats: of an answer token. right: share of answers whose every token is the most probable one. same: share
    of answers equal to the first checkpoint's.
    """
    rng = np.random.default_rng(7)
    chats = Chats(base, [caption for _, caption in single_objects(200, _HELD_OUT_SEED)])
    drawn, first = [chats.draw(rng, 0.0) for _ in range(200)], None
    for name in checkpoints:
        model, losses, answers = load_checkpoint(name).model, [], []
        for chat in drawn:
            prompt = embed_prompt(model, chat.ids + chat.answer_ids[:-1], None, None)
            logits_NV = model.logits(prompt_states(model, prompt))[len(chat.ids) - 1 :]
            losses.append(cross_entropy(logits_NV, torch.tensor(chat.answer_ids), reduction="none"))
            answers.append(logits_NV.argmax(-1).tolist())
        first = first or answers
        right = np.mean([found == chat.answer_ids for found, chat in zip(answers, drawn, strict=True)])
        same = np.mean([found == other for found, other in zip(answers, first, strict=True)])
        nats = float(torch.cat(losses).mean())
        print(json.dumps({"model": name, "nats": round(nats, 4), "right": right, "same": same}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=5, help="of processor time")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--image-share", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compare", nargs="+", help="compare checkpoints on chats, in place of training")
    given = parser.parse_args()
    if given.compare:
        compare(given.folder, given.compare)
        raise SystemExit
    train(given.folder, given.minutes, given.pictures, given.batch, given.rate, given.image_share, given.seed)
