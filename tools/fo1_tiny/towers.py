"""Phase 1b: the ViT and its pyramid learn the same attributes from nothing, inside the model itself.

The auxiliary encoder comes from phase 1 and stays as it is. Saves a checkpoint folder that sees and whose
language model is still untrained.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from fo1_data.model.checkpoint import load_checkpoint, save_checkpoint
from fo1_data.model.configuration import load_config
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.processing import ImageProcessor, PreparedImage
from fo1_data.model.vision_towers import encode_primary
from fo1_data.synthetic.scenes import Scene, make_scene
from tools.fo1_tiny.encoder import (
    ATTRIBUTES,
    CANVASES,
    IGNORED,
    accuracies,
    jitter,
    learning_rate,
)
from tools.fo1_tiny.muon import MuonAdamW, split_parameters


class Readers(nn.Module):
    """A linear reader per attribute."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(words)) for name, words in ATTRIBUTES.items()})

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Logits per attribute."""
        return {name: head(features) for name, head in self.heads.items()}


def primary_features(model: Fo1Model, images: list[PreparedImage]) -> Tensor:
    """Normed primary features (R, Cv) of all boxes in order; images of one size."""
    grid = torch.tensor([[1, *image.grid_hw] for image in images])
    pixels = torch.cat([image.pixel_values for image in images])
    primary = encode_primary(model.vision_tower, pixels, grid, all_maps=False)
    maps = [torch.cat(level) for level in zip(*(one.maps for one in primary), strict=True)]
    encoder = model.region_encoder
    boxes = nn.utils.rnn.pad_sequence([image.vt_boxes for image in images], batch_first=True)
    pooled = encoder.pool_primary(encoder.pyramid(maps), boxes)
    real = [torch.ones(len(image.vt_boxes), dtype=torch.bool) for image in images]
    return encoder.vt_region_norm(pooled)[nn.utils.rnn.pad_sequence(real, batch_first=True)]


def classes_of(scenes: list[Scene]) -> dict[str, Tensor]:
    """Attribute classes of objects, then distractors, of every scene in order."""
    classes: dict[str, list[int]] = {name: [] for name in ATTRIBUTES}
    for scene in scenes:
        for name, words in ATTRIBUTES.items():
            classes[name] += [words.index(getattr(thing, name)) for thing in scene.objects]
            background = words.index("background") if name == "shape" else IGNORED
            classes[name] += [background] * len(scene.distractors_xyxy)
    return {name: torch.tensor(values) for name, values in classes.items()}


class PreparedBatches(IterableDataset):
    """Batches of prepared images of one size with their attribute classes."""

    def __init__(self, folder: Path, first_batch: int, batch_size: int, seed: int) -> None:
        self.folder, self.first_batch, self.batch_size, self.seed = folder, first_batch, batch_size, seed

    def __iter__(self) -> Iterator[tuple[list[PreparedImage], dict[str, Tensor]]]:
        processor = ImageProcessor(self.folder, load_config(self.folder))
        batch = self.first_batch
        while True:
            rng = np.random.default_rng([self.seed, batch])
            canvas = CANVASES[int(rng.integers(len(CANVASES)))]
            first = self.seed + batch * self.batch_size
            scenes = [make_scene(first + i, (8, 18), canvas) for i in range(self.batch_size)]
            images = []
            for scene in scenes:
                boxes = [thing.box_xyxy for thing in scene.objects] + scene.distractors_xyxy
                moved = jitter(np.array(boxes, np.float32).reshape(-1, 4), scene.image.size, rng)
                images.append(processor.prepare(scene.image, moved))
            yield images, classes_of(scenes)
            batch += 1


def _as_is(batch: object) -> object:
    return batch


def train(folder: Path, encoder: Path, steps: int, batch_size: int, peak: float, seed: int) -> None:
    """Train or resume `towers.pt`; at every 100 steps `towers` holds a checkpoint folder."""
    torch.manual_seed(seed)
    model = load_checkpoint(str(folder / "base")).model.train()
    readers = Readers(model.config.primary_width)
    _take_encoder(model, torch.load(encoder, weights_only=True)["model"])
    seeing = ("vision_tower.", "region_encoder.simple_fpn", "region_encoder.vt_region_norm")
    named = [(name, p) for name, p in model.named_parameters() if name.startswith(seeing)]
    named = [(name, p) for name, p in named if "merger" not in name]
    named += [(f"readers.{name}", p) for name, p in readers.named_parameters()]
    optimiser = MuonAdamW(split_parameters(named, ("readers",)), lr=peak, weight_decay=0.02)
    start, checkpoint = 0, folder / "towers.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        readers.load_state_dict(saved["readers"])
        optimiser.load_state_dict(saved["optimiser"])
        start = saved["step"]
    batches = PreparedBatches(folder / "base", start, batch_size, seed)
    loader = iter(DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=8, collate_fn=_as_is))
    right: dict[str, float] = {}
    began, seen = time.monotonic(), 0
    for step in range(start, steps):
        images, classes = next(loader)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, peak)
        logits = readers(primary_features(model, images))
        loss = attribute_loss(logits, classes)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in named], 2.0)
        optimiser.step()
        for name, share in accuracies(logits, classes).items():
            right[name] = right.get(name, 0.0) + share
        seen += 1
        if (step + 1) % 50 == 0:
            line = {"step": step + 1, "s": round(time.monotonic() - began, 1)}
            line |= {name: round(value / seen, 4) for name, value in right.items()}
            with (folder / "towers.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            right, seen = {}, 0
        if (step + 1) % 100 == 0 or step + 1 == steps:
            state = {"model": model.state_dict(), "readers": readers.state_dict()}
            torch.save(
                {**state, "optimiser": optimiser.state_dict(), "step": step + 1},
                checkpoint.with_suffix(".new"),
            )
            checkpoint.with_suffix(".new").replace(checkpoint)
            save_checkpoint(model, folder / "base", folder / "towers")


def attribute_loss(logits: dict[str, Tensor], classes: dict[str, Tensor]) -> Tensor:
    """Summed cross-entropy of the four attributes."""
    losses = [
        functional.cross_entropy(logits[name], classes[name], ignore_index=IGNORED) for name in ATTRIBUTES
    ]
    return torch.stack(losses).sum()


def _take_encoder(model: Fo1Model, state: dict[str, Tensor]) -> None:
    """Phase 1's DaViT and the norm before its readers."""
    davit = {name.removeprefix("davit."): value for name, value in state.items() if name.startswith("davit.")}
    model.vision_tower_aux.load_state_dict(davit)
    model.region_encoder.aux_region_norm.load_state_dict(
        {name: state[f"norm.{name}"] for name in ("weight", "bias")}
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("encoder", type=Path, help="encoder.pt of phase 1")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=50_000_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train(arguments.folder, arguments.encoder, arguments.steps, arguments.batch, arguments.lr, arguments.seed)
