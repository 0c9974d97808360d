"""Teaches the vision tower of a checkpoint to tell characters apart: what a base that reads has learnt.

`python -m tools.reading_tower CHECKPOINT OUT` trains on crops of generated texts, with a loss for each image
token: the characters over its two columns of patches, and their places in the string. `fo1 train` with
`ocr_crop_min_pixels` then teaches the language model to read these tokens (docs/training.md). `curve.jsonl`
in OUT has the shares of held-out columns that are right. The weights that are tested and saved are a moving
mean, every 24 seconds of the processor, so a run may be ended at any time.

Shapes: M image tokens of a batch, D language model width, 2 columns of patches of a token.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, rms_norm

from fo1_data.model.checkpoint import Checkpoint, load_checkpoint
from fo1_data.model.checkpoint_files import save_checkpoint
from fo1_data.model.configuration import OCR_CROP_MIN_PIXELS
from fo1_data.model.processing import PreparedImage, crop_span
from fo1_data.synthetic.snippets import CHARACTERS, LONGEST_TEXT, Snippet, character_ends, make_snippets
from tools.fo1_tiny.muon import MuonAdamW, split_parameters

_HELD_OUT_SEED = 900_000_000
_NUM_TESTED, _TEXTS = 30, (4, 8)
_EVERY_S = 24
_JITTER, _VIEWS = 0.1, 2
_WARMUP_STEPS, _LEAST_SHARE = 30, 0.002
_BACKGROUND_WEIGHT, _PLACE_WEIGHT = 0.1, 0.25


@dataclass(frozen=True)
class ReadCrop:
    """A crop, and for each of its tokens the character (M, 2) and its place (M, 2), from 1; 0: none."""

    prepared: PreparedImage
    characters: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]


def texts_of(seed: int, *, held_out: bool) -> list[tuple[Image.Image, Snippet]]:
    """The texts of one generated image."""
    made = make_snippets(seed, _TEXTS, held_out=held_out)
    return [(made.image, snippet) for snippet in made.snippets]


def make_crop(
    checkpoint: Checkpoint, image: Image.Image, snippet: Snippet, rng: np.random.Generator | None = None
) -> ReadCrop:
    """The crop of a text. rng: moves each side by up to a tenth of the shorter one."""
    box = np.array(snippet.box_xyxy, dtype=np.float64)
    if rng is not None:
        box += _JITTER * min(box[2] - box[0], box[3] - box[1]) * rng.uniform(-1, 1, 4)
    box_xyxy = box.tolist()
    prepared = checkpoint.processor.prepare_crop(image, box_xyxy)
    span = crop_span(box_xyxy, 0, image.width)
    return ReadCrop(prepared, *_targets(snippet, span, prepared.grid_hw))


def _targets(
    snippet: Snippet, span: tuple[int, int], grid_hw: tuple[int, int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """span: the first column of the crop in the image, and the one behind."""
    rows, columns = grid_hw
    first, last = span
    left, _, right, _ = snippet.box_xyxy
    centres = ((np.arange(columns) + 0.5) / columns * (last - first) + first - left) / (right - left)
    place = np.searchsorted(character_ends(snippet.text), centres).clip(max=len(snippet.text) - 1)
    is_text = (centres >= 0) & (centres < 1)
    numbers = np.array([CHARACTERS.index(character) + 1 for character in snippet.text])
    both = np.where(is_text, numbers[place], 0), np.where(is_text, place + 1, 0)
    characters, places = (np.tile(row.reshape(-1, 2), (rows // 2, 1)) for row in both)
    return characters, places


class Reader(nn.Module):
    """Reads image tokens (M, D): logits of the characters (2M, 1 + all) and of their places (2M, 1 + 8)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._sizes = (1 + len(CHARACTERS), 1 + LONGEST_TEXT)
        self.linear = nn.Linear(width, 2 * sum(self._sizes))

    def forward(self, tokens_MD: Tensor) -> tuple[Tensor, Tensor]:
        values = self.linear(rms_norm(tokens_MD, tokens_MD.shape[-1:])).view(2 * len(tokens_MD), -1)
        characters, places = values.split(self._sizes, dim=-1)
        return characters, places


def read(
    checkpoint: Checkpoint, reader: Reader, crops: list[ReadCrop]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits of characters and places, and what is right, (2M,)."""
    tower = checkpoint.model.vision_tower
    pixels = torch.cat([crop.prepared.patches_on(torch.device("cpu")) for crop in crops])
    encoded = tower.encode(pixels, [crop.prepared.grid_hw for crop in crops], all_maps=False)
    characters, places = reader(torch.cat([image.image_embeds for image in encoded]))
    targets = (
        torch.from_numpy(np.concatenate([getattr(crop, name) for crop in crops])).flatten()
        for name in ("characters", "places")
    )
    return characters, places, *targets


class MeanWeights:
    """A moving mean of weights: what is tested and saved, so that a run may end at any time."""

    def __init__(self, weights: list[nn.Parameter]) -> None:
        self._weights: list[Tensor] = [*weights]
        self._means: list[Tensor] = [weight.detach().clone() for weight in weights]

    @torch.no_grad()
    def update(self, share: float) -> None:
        """share: of the present weights."""
        torch._foreach_lerp_(self._means, self._weights, share)

    def swap(self) -> None:
        """Exchange weights and means; once more: as before."""
        for number, weight in enumerate(self._weights):
            self._means[number], weight.data = weight.data, self._means[number]


@torch.no_grad()
def shares_right(checkpoint: Checkpoint, reader: Reader, crops: list[ReadCrop]) -> dict[str, float]:
    """Of the columns that show a character: the shares whose character and place are the most probable."""
    characters, places, right_characters, right_places = read(checkpoint, reader, crops)
    shown = right_characters > 0
    hits = {
        "characters": characters.argmax(-1) == right_characters,
        "places": places.argmax(-1) == right_places,
    }
    return {name: round(float(hit[shown].float().mean()), 3) for name, hit in hits.items()}


def loss_of(checkpoint: Checkpoint, reader: Reader, crops: list[ReadCrop]) -> Tensor:
    """The mean over columns of the cross-entropy of their characters, and a share of that of their places."""
    characters, places, right_characters, right_places = read(checkpoint, reader, crops)
    weights = torch.where(right_characters > 0, 1.0, _BACKGROUND_WEIGHT)
    losses = cross_entropy(characters, right_characters, reduction="none")
    losses = losses + _PLACE_WEIGHT * cross_entropy(places, right_places, reduction="none")
    return (losses * weights).sum() / weights.sum()


def train(checkpoint: Checkpoint, out: Path, minutes: float, batch: int, rate: float, images: int) -> None:
    """Train for so long by the processor's clock, on the texts of so many images again and again."""
    model = checkpoint.model
    model.requires_grad_(False)
    model.vision_tower.requires_grad_(True)
    torch.manual_seed(0)
    reader, rng = Reader(model.config.vision.out_hidden_size), np.random.default_rng(0)
    crops = [
        make_crop(checkpoint, *text, rng)
        for seed in range(images)
        for text in texts_of(seed, held_out=False)
        for _ in range(_VIEWS)
    ]
    tested = [
        make_crop(checkpoint, *text)
        for seed in range(_HELD_OUT_SEED, _HELD_OUT_SEED + _NUM_TESTED)
        for text in texts_of(seed, held_out=True)
    ]
    named = [*model.vision_tower.named_parameters(), *reader.named_parameters()]
    optimiser = MuonAdamW(split_parameters(named, ("linear.",)), rate)
    trained = [parameter for _, parameter in named]
    mean = MeanWeights(trained)
    out.mkdir(parents=True)
    began, step, told_s = time.process_time(), 0, 0.0
    while (elapsed_s := time.process_time() - began) < 60 * minutes:
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / _WARMUP_STEPS)
        drawn = rng.choice(len(crops), batch, replace=False).tolist()
        loss = loss_of(checkpoint, reader, [crops[number] for number in drawn])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        step += 1
        mean.update(max(_LEAST_SHARE, 4 / (step + 4)))
        if elapsed_s - told_s > _EVERY_S:
            told_s = elapsed_s
            mean.swap()
            figures = shares_right(checkpoint, reader, tested)
            line = {"step": step, "minutes": round(elapsed_s / 60, 2), "loss": round(float(loss.detach()), 3)}
            print(json.dumps({**line, **figures}), flush=True)
            with (out / "curve.jsonl").open("a") as file:
                file.write(json.dumps({**line, **figures}) + "\n")
            save_checkpoint(model, checkpoint.folder, out, settings=checkpoint.settings)
            mean.swap()
    mean.swap()
    save_checkpoint(model, checkpoint.folder, out, settings=checkpoint.settings)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=12, help="of processor time")
    parser.add_argument("--min-pixels", type=int, default=6272)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--images", type=int, default=2000)
    given = parser.parse_args()
    loaded = load_checkpoint(given.checkpoint, settings={OCR_CROP_MIN_PIXELS: given.min_pixels})
    train(loaded, given.out, given.minutes, given.batch, given.rate, given.images)
