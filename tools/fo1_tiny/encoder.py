"""Phase 1: the auxiliary encoder (DaViT) learns to see, by naming every region's attributes.

Each region's pooled features go through one LayerNorm and one linear layer per attribute: shape (with
one more class for mere background), colour, fill and size. Only the encoder's weights are kept.
Boxes are jittered by up to 8 % of their sides. Frames: boxes in pixels of the scene, which is not resized.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset
from transformers.models.florence2.configuration_florence2 import Florence2VisionConfig
from transformers.models.florence2.modeling_florence2 import Florence2VisionBackbone

from fo1_data.synthetic.scenes import Scene, make_scene
from fo1_data.synthetic.shapes import COLOURS, FILLS, NAMES, SIZES
from tools.fo1_tiny.muon import MuonAdamW, split_parameters

DAVIT: dict[str, Any] = {
    "depths": [2, 2, 2, 1],
    "embed_dim": [32, 64, 96, 128],
    "num_heads": [2, 4, 6, 8],
    "num_groups": [2, 4, 6, 8],
    "patch_size": [7, 3, 3, 3],
    "patch_stride": [4, 2, 2, 2],
    "patch_padding": [3, 1, 1, 1],
    "patch_prenorm": [False, True, True, True],
    "window_size": 12,
    "drop_path_rate": 0.0,
}
ATTRIBUTES = {"shape": (*NAMES, "background"), "colour": COLOURS, "fill": FILLS, "size": SIZES}
CANVASES = (
    [(144, 144)] * 4
    + [(192, 96)] * 2
    + [(96, 192)] * 2
    + [(168, 120), (120, 168), (240, 72), (76, 230), (190, 108)]
)
MEAN = torch.tensor([0.485, 0.456, 0.406])
STD = torch.tensor([0.229, 0.224, 0.225])
IGNORED = -100


class AttributeReader(nn.Module):
    """DaViT, its four levels pooled per box as HFRE does, and a linear reader per attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.davit = Florence2VisionBackbone(Florence2VisionConfig(**DAVIT))
        self.davit.set_attn_implementation("sdpa")
        width = sum(DAVIT["embed_dim"])
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(words)) for name, words in ATTRIBUTES.items()})
        self.ends = np.cumsum(DAVIT["depths"])

    def forward(self, images_B3HW: Tensor, boxes_per_image: list[Tensor]) -> dict[str, Tensor]:
        """Logits per attribute, (regions of all images in order, classes)."""
        features = self.norm(self.pooled(images_B3HW, boxes_per_image))
        return {name: head(features) for name, head in self.heads.items()}

    def pooled(self, images_B3HW: Tensor, boxes_per_image: list[Tensor]) -> Tensor:
        """Mean RoIAlign features of the joined levels, (regions, 320)."""
        states = self.davit(images_B3HW, output_hidden_states=True).hidden_states
        levels = [states[end] for end in self.ends]
        return torch.cat([pool(levels, image, boxes) for image, boxes in enumerate(boxes_per_image)])


def pool(levels: list[Tensor], image: int, boxes_R4: Tensor) -> Tensor:
    """RoIAlign (7x7, adaptive sampling, not aligned) of one image's joined levels, and the mean; (R, 320).

    Separable: the mean of bilinear samples on a grid is a product with one weight vector per axis.
    """
    height, width = levels[0].shape[-2:]
    rows, columns = (
        axis_weights(boxes_R4[:, [1, 3]] / 4, height),
        axis_weights(boxes_R4[:, [0, 2]] / 4, width),
    )
    parts = []
    for level in levels:
        rows_level = rows @ upsampling(height, level.shape[-2])
        columns_level = columns @ upsampling(width, level.shape[-1])
        parts.append(torch.einsum("rh,chw,rw->rc", rows_level, level[image], columns_level))
    return torch.cat(parts, dim=1)


def axis_weights(spans_R2: Tensor, length: int) -> Tensor:
    """The weight of each of `length` cells in the mean of a span's samples along one axis, (R, length)."""
    weights = torch.zeros(len(spans_R2), length)
    for row, (low, high) in enumerate(spans_R2.tolist()):
        extent = max(high - low, 1.0)
        num_samples = 7 * math.ceil(extent / 7)
        at = low + (torch.arange(num_samples) + 0.5) * extent / num_samples
        at = at[(at >= -1) & (at <= length)].clamp(0, length - 1)
        lower = at.floor().long()
        upper = (lower + 1).clamp(max=length - 1)
        share = at - lower
        weights[row].index_add_(0, lower, (1 - share) / num_samples)
        weights[row].index_add_(0, upper, share / num_samples)
    return weights


@cache
def upsampling(length: int, from_length: int) -> Tensor:
    """Bilinear upsampling along one axis as a matrix, (length, from_length)."""
    eye = torch.eye(from_length)[None]
    return functional.interpolate(eye, length, mode="linear")[0].T.contiguous()


def initialise(module: nn.Module) -> None:
    """Weights by fan-in; the library's 0.02 is far too small for layers this narrow."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=part.in_features**-0.5)
        elif isinstance(part, nn.Conv2d):
            fan_in = part.weight[0].numel()
            nn.init.normal_(part.weight, std=(0.5 if part.groups > 1 else 1.0) * fan_in**-0.5)
        if isinstance(part, nn.Linear | nn.Conv2d) and part.bias is not None:
            nn.init.zeros_(part.bias)


class SceneBatches(IterableDataset):
    """Batches of scenes of one size; batch `i` is made of seeds of its own, so a run can resume anywhere."""

    def __init__(self, first_batch: int, batch_size: int, seed: int) -> None:
        self.first_batch, self.batch_size, self.seed = first_batch, batch_size, seed

    def __iter__(self) -> Iterator[tuple[Tensor, list[Tensor], dict[str, Tensor]]]:
        batch = self.first_batch
        while True:
            rng = np.random.default_rng([self.seed, batch])
            canvas = CANVASES[int(rng.integers(len(CANVASES)))]
            first = self.seed + batch * self.batch_size
            scenes = [make_scene(first + i, (8, 18), canvas) for i in range(self.batch_size)]
            yield collate(scenes, rng)
            batch += 1


def collate(scenes: list[Scene], rng: np.random.Generator) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
    """Normalised images, jittered boxes per image, and attribute classes of all regions in order."""
    pixels = torch.from_numpy(np.stack([np.asarray(scene.image) for scene in scenes]))
    images = ((pixels.float() / 255 - MEAN) / STD).permute(0, 3, 1, 2).contiguous()
    boxes: list[Tensor] = []
    classes: dict[str, list[int]] = {name: [] for name in ATTRIBUTES}
    for scene in scenes:
        exact = np.array([o.box_xyxy for o in scene.objects] + scene.distractors_xyxy, np.float32).reshape(
            -1, 4
        )
        boxes.append(torch.from_numpy(jitter(exact, scene.image.size, rng)))
        for name, words in ATTRIBUTES.items():
            classes[name] += [words.index(getattr(o, name)) for o in scene.objects]
            background = words.index("background") if name == "shape" else IGNORED
            classes[name] += [background] * len(scene.distractors_xyxy)
    return images, boxes, {name: torch.tensor(values) for name, values in classes.items()}


def jitter(
    boxes_xyxy: np.ndarray, image_wh: tuple[int, int], rng: np.random.Generator, share: float = 0.08
) -> np.ndarray:
    """Boxes with each side moved by up to `share` of the box's own sides, clipped to the image."""
    sides = np.tile(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 2)
    moved = boxes_xyxy + rng.uniform(-share, share, boxes_xyxy.shape).astype(np.float32) * sides
    return np.clip(moved, 0, np.array([*image_wh, *image_wh], np.float32))


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Warm-up over 60 steps, level, and down to a fiftieth over the last 40 %."""
    decay_from = 0.6 * steps
    share = 1.0 if step < decay_from else max(0.02, 1 - (step - decay_from) / (steps - decay_from))
    return peak * min(1.0, (step + 1) / 60) * share


def train(folder: Path, steps: int, batch_size: int, peak: float, seed: int) -> None:
    """Train or resume in `folder`: `encoder.pt` every 200 steps, a line of `encoder.jsonl` every 50."""
    torch.manual_seed(seed)
    model = AttributeReader()
    initialise(model)
    optimiser = MuonAdamW(split_parameters(model.named_parameters(), ("heads",)), lr=peak, weight_decay=0.02)
    checkpoint = folder / "encoder.pt"
    start = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        start = saved["step"]
    loader = iter(
        DataLoader(SceneBatches(start, batch_size, seed), batch_size=None, num_workers=1, prefetch_factor=8)
    )
    began, right, seen = time.monotonic(), dict.fromkeys((*ATTRIBUTES, "all"), 0.0), 0
    for step in range(start, steps):
        images, boxes, classes = next(loader)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, peak)
        logits = model(images, boxes)
        losses = [
            functional.cross_entropy(logits[name], classes[name], ignore_index=IGNORED) for name in ATTRIBUTES
        ]
        loss = torch.stack(losses).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimiser.step()
        for name, share in accuracies(logits, classes).items():
            right[name] += share
        seen += 1
        if (step + 1) % 50 == 0:
            line = {"step": step + 1, "loss": round(loss.item(), 4), "s": round(time.monotonic() - began, 1)}
            line |= {name: round(value / seen, 4) for name, value in right.items()}
            with (folder / "encoder.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            right, seen = dict.fromkeys(right, 0.0), 0
        if (step + 1) % 200 == 0 or step + 1 == steps:
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
            torch.save(state, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)


def accuracies(logits: dict[str, Tensor], classes: dict[str, Tensor]) -> dict[str, float]:
    """The share of objects whose attribute is right, per attribute and for all four at once."""
    objects = classes["colour"] != IGNORED
    hits = {name: (logits[name].argmax(1) == classes[name])[objects] for name in ATTRIBUTES}
    hits["all"] = torch.stack(list(hits.values())).all(0)
    return {name: hit.float().mean().item() for name, hit in hits.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=10_000_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    train(arguments.folder, arguments.steps, arguments.batch, arguments.lr, arguments.seed)
