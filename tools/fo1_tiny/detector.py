"""The phase `detector`: the proposal detector, trained on generated scenes in their own size and enlarged.

Shapes: B images, N positive cells of the batch, H x W heat map.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from fo1_data.proposals.tiny_detector import STRIDE_PX, CenterNetwork
from fo1_data.synthetic.scenes import Scene, make_scene
from fo1_data.training.detection.targets import detection_loss, make_targets
from fo1_data.training.settings import TrainConfig
from tools.fo1_tiny.phase import EndlessBatches, Learner

Config = TrainConfig
CANVASES_WH = [(160, 160), (192, 128), (128, 192), (256, 96), (96, 256), (240, 240)]
NUM_OBJECTS, NUM_DENSE_OBJECTS = (4, 18), (30, 60)
Targets = tuple[Tensor, Tensor, Tensor, Tensor]


class DetectorBatches(EndlessBatches[Targets]):
    """Scenes of one size: images (B, 3, ...) in -1..1, heat maps (B, H, W), and of the positive cells
    (image, row, column) (N, 3) and box (N, 4)."""

    def make(self, number: int, rng: np.random.Generator) -> Targets:
        canvas_wh = CANVASES_WH[int(rng.integers(len(CANVASES_WH)))]
        num_objects = NUM_DENSE_OBJECTS if rng.random() < 0.15 else NUM_OBJECTS
        scenes = [make_scene(seed, num_objects, canvas_wh) for seed in self.scene_seeds(number)]
        return collate(scenes, float(rng.uniform(1.1, 2.0)) if rng.random() < 0.15 else 1.0)


def collate(scenes: list[Scene], zoom: float) -> Targets:
    """The batch of scenes enlarged by `zoom`; see DetectorBatches."""
    width, height = (round(side * zoom / 16) * 16 for side in scenes[0].image.size)
    images, heats, cells, boxes = [], [], [], []
    for number, scene in enumerate(scenes):
        image = scene.image
        scale = np.array([width / image.width, height / image.height] * 2, np.float32)
        if (width, height) != image.size:
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        images.append(np.asarray(image))
        scaled = np.array([thing.box_xyxy for thing in scene.objects], np.float32) * scale
        heat, positives = make_targets(scaled, (width // STRIDE_PX, height // STRIDE_PX))
        heats.append(heat)
        cells += [(number, row, column) for row, column, _ in positives]
        boxes += [scaled[index] for _, _, index in positives]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels, torch.from_numpy(np.stack(heats)), torch.tensor(cells), torch.from_numpy(np.stack(boxes))


def train(folder: Path, name: str, config: Config) -> None:
    """Train or resume; at every save and at the end, `{name}.safetensors` has the weights."""
    network = CenterNetwork()
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    learner = Learner(folder, name, config, {"model": network}, optimiser)
    learner.resume()
    batches = DetectorBatches(config, learner.step_number).in_worker(prefetch=2)
    while not learner.is_done:
        images, heat, cells, boxes = next(batches)
        learner.update(detection_loss(network(images), heat, cells, boxes))
        if learner.is_save_due:
            learner.save()
            save_file(network.state_dict(), folder / f"{name}.safetensors")
