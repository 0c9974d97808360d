"""Phase 0: the proposal detector, trained on generated scenes at their own size and enlarged.

Targets as in CenterNet (Zhou et al., 2019): a Gaussian around each centre for the focal loss; the four
distances by generalised IoU at the cells around a centre. Boxes in pixels of the batch's images.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset
from torchvision.ops import generalized_box_iou_loss

from fo1_data.proposals.tiny_detector import STRIDE_PX, CenterNetwork
from fo1_data.synthetic.scenes import Scene, make_scene

CANVASES = [(160, 160), (192, 128), (128, 192), (256, 96), (96, 256), (240, 240)]
DENSE_OBJECTS, SPARSE_OBJECTS = (30, 60), (4, 18)


class DetectorBatches(IterableDataset):
    """Batches of one size: images -1..1, centres' heat, (image, row, column) and box of positives."""

    def __init__(self, first_batch: int, batch_size: int, seed: int) -> None:
        self.first_batch, self.batch_size, self.seed = first_batch, batch_size, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        batch = self.first_batch
        while True:
            rng = np.random.default_rng([self.seed, batch])
            canvas = CANVASES[int(rng.integers(len(CANVASES)))]
            first = self.seed + batch * self.batch_size
            many = DENSE_OBJECTS if rng.random() < 0.15 else SPARSE_OBJECTS
            scenes = [make_scene(first + i, many, canvas) for i in range(self.batch_size)]
            yield collate(scenes, float(rng.uniform(1.1, 2.0)) if rng.random() < 0.15 else 1.0)
            batch += 1


def collate(scenes: list[Scene], zoom: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One batch of targets; see DetectorBatches."""
    width, height = (round(side * zoom / 16) * 16 for side in scenes[0].image.size)
    images, heats, cells, boxes = [], [], [], []
    for number, scene in enumerate(scenes):
        image = scene.image
        scale = np.array([width / image.width, height / image.height] * 2, np.float32)
        if (width, height) != image.size:
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        images.append(np.asarray(image))
        scaled = np.array([thing.box_xyxy for thing in scene.objects], np.float32) * scale
        heat, positives = targets(scaled, (width // STRIDE_PX, height // STRIDE_PX))
        heats.append(heat)
        cells += [(number, row, column) for row, column, _ in positives]
        boxes += [scaled[index] for _, _, index in positives]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels, torch.from_numpy(np.stack(heats)), torch.tensor(cells), torch.from_numpy(np.stack(boxes))


def targets(boxes_xyxy: np.ndarray, map_wh: tuple[int, int]) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """The heat map (rows, columns) and (row, column, box index) of every cell that must predict a box."""
    y, x = np.mgrid[: map_wh[1], : map_wh[0]].astype(np.float32) + 0.5
    heat = np.zeros((map_wh[1], map_wh[0]), np.float32)
    owner: dict[tuple[int, int], tuple[float, int]] = {}
    for index, (x_min, y_min, x_max, y_max) in enumerate(boxes_xyxy / STRIDE_PX):
        centre_x, centre_y = (x_min + x_max) / 2, (y_min + y_max) / 2
        sigma = max(0.6, 0.09 * float(x_max - x_min + y_max - y_min))
        column, row = min(map_wh[0] - 1, int(centre_x)), min(map_wh[1] - 1, int(centre_y))
        spread = np.exp(-((x - column - 0.5) ** 2 + (y - row - 0.5) ** 2) / (2 * sigma**2))
        heat = np.maximum(heat, spread)
        for r, c in ((row + dr, column + dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1)):
            if (
                0 <= r < map_wh[1]
                and 0 <= c < map_wh[0]
                and x_min < c + 0.5 < x_max
                and y_min < r + 0.5 < y_max
            ):
                distance = (c + 0.5 - centre_x) ** 2 + (r + 0.5 - centre_y) ** 2
                if (r, c) not in owner or owner[r, c][0] > distance:
                    owner[r, c] = (distance, index)
        owner.setdefault((row, column), (0.0, index))
    return heat, [(row, column, index) for (row, column), (_, index) in owner.items()]


def loss_of(output_B5HW: Tensor, heat: Tensor, cells: Tensor, boxes: Tensor) -> Tensor:
    """Penalty-reduced focal loss on the centres plus generalised IoU on the boxes."""
    logits = output_B5HW[:, 0]
    certain = (heat > 0.999).float()
    score = logits.sigmoid()
    found = certain * (1 - score) ** 2 * functional.logsigmoid(logits)
    empty = (1 - certain) * (1 - heat) ** 4 * score**2 * functional.logsigmoid(-logits)
    focal = -(found + empty).sum() / certain.sum().clamp(min=1)
    image, row, column = cells.T
    distances = output_B5HW[image, 1:, row, column].clamp(-4, 5).exp()
    x, y = (column + 0.5)[:, None], (row + 0.5)[:, None]
    predicted = torch.cat(
        [x - distances[:, :1], y - distances[:, 1:2], x + distances[:, 2:3], y + distances[:, 3:]], 1
    )
    return focal + 2.0 * generalized_box_iou_loss(predicted, boxes / STRIDE_PX, reduction="mean")


def train(folder: Path, steps: int, batch_size: int, peak: float, seed: int) -> None:
    """Train from the start or from `detector.pt` in `folder`; writes `detector.safetensors` at the end."""
    torch.manual_seed(seed)
    network = CenterNetwork()
    optimiser = torch.optim.AdamW(network.parameters(), lr=peak, weight_decay=0.01)
    start, checkpoint = 0, folder / "detector.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        start = saved["step"]
    loader = iter(DataLoader(DetectorBatches(start, batch_size, seed), batch_size=None, num_workers=1))
    began, total = time.monotonic(), 0.0
    for step in range(start, steps):
        for group in optimiser.param_groups:
            group["lr"] = (
                peak * min(1.0, (step + 1) / 50) * min(1.0, max(0.02, (steps - step) / (0.5 * steps)))
            )
        images, heat, cells, boxes = next(loader)
        loss = loss_of(network(images), heat, cells, boxes)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        total += loss.item()
        if (step + 1) % 50 == 0:
            line = {"step": step + 1, "loss": round(total / 50, 4), "s": round(time.monotonic() - began, 1)}
            with (folder / "detector.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            total = 0.0
        if (step + 1) % 200 == 0 or step + 1 == steps:
            state = {"model": network.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
            torch.save(state, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)
            save_file(network.state_dict(), folder / "detector.safetensors")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=20_000_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    train(arguments.folder, arguments.steps, arguments.batch, arguments.lr, arguments.seed)
