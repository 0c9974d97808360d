"""The phases `encoder` and `towers`: one vision tower learns to see, by naming every region's attributes.

Each region's pooled features go through the tower's LayerNorm and one linear reader per attribute: shape
(with one more class for background), colour, fill and size. The readers are thrown away. `part`: "auxiliary"
trains DaViT, "primary" the ViT and its pyramid; everything else of the checkpoint `start` stays as it is.
Boxes are jittered by up to 8 % of their sides, in pixels of the scene, which DaViT sees in its own size.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.checkpoint_files import save_checkpoint
from fo1_data.model.configuration import load_config
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.processing import ImageProcessor, PreparedImage
from fo1_data.synthetic.scenes import make_scene
from fo1_data.training.samples.augmentation import jitter_boxes
from fo1_data.training.settings import TrainConfig
from tools.fo1_tiny.attributes import (
    AttributeReaders,
    attribute_accuracies,
    attribute_codes,
    attribute_loss,
    codes_to_classes,
)
from tools.fo1_tiny.muon import MuonAdamW, split_parameters
from tools.fo1_tiny.phase import EndlessBatches, Learner

CANVASES_WH = (
    [(144, 144)] * 4
    + [(192, 96)] * 2
    + [(96, 192)] * 2
    + [(168, 120), (120, 168), (240, 72), (76, 230), (190, 108)]
)
_TRAINED = {
    "auxiliary": ("vision_tower_aux.", "region_encoder.aux_region_norm"),
    "primary": ("vision_tower.", "region_encoder.simple_fpn", "region_encoder.vt_region_norm"),
}


class Config(TrainConfig):
    """Settings of a vision phase; `start`: the checkpoint folder to start from."""

    part: Literal["auxiliary", "primary"]
    start: str


class VisionBatches(EndlessBatches[tuple[list[PreparedImage], Tensor]]):
    """Scenes of one size as prepared images, and the attribute codes (R, K) of all boxes in order."""

    def __init__(self, folder: Path, config: TrainConfig, first_batch: int) -> None:
        super().__init__(config, first_batch)
        self._folder = folder

    def load(self) -> None:
        self._processor = ImageProcessor(self._folder, load_config(self._folder))

    def make(self, number: int, rng: np.random.Generator) -> tuple[list[PreparedImage], Tensor]:
        canvas_wh = CANVASES_WH[int(rng.integers(len(CANVASES_WH)))]
        images, codes = [], []
        for seed in self.scene_seeds(number):
            scene = make_scene(seed, (8, 18), canvas_wh)
            boxes = [thing.box_xyxy for thing in scene.objects] + scene.distractors_xyxy
            boxes_R4 = np.array(boxes, np.float32).reshape(-1, 4)
            jittered_R4 = jitter_boxes(boxes_R4, scene.image.size, 0.08, rng)
            images.append(self._processor.prepare(scene.image, jittered_R4))
            codes.append(attribute_codes([*scene.objects, *[None] * len(scene.distractors_xyxy)]))
        return images, torch.cat(codes)


def auxiliary_features(model: Fo1Model, images: list[PreparedImage]) -> Tensor:
    """Normed DaViT features (R, Ca) of all boxes in order; the images have one size."""
    levels = model.vision_tower_aux(torch.stack([image.aux_image for image in images]))
    encoder, boxes = model.region_encoder, [image.aux_boxes for image in images]
    pooled = encoder.pool_auxiliary(levels, pad_sequence(boxes, batch_first=True))
    return encoder.aux_region_norm(pooled)[_is_box(boxes)]


def primary_features(model: Fo1Model, images: list[PreparedImage]) -> Tensor:
    """Normed ViT pyramid features (R, Cv) of all boxes in order; the images have one size."""
    pixels = torch.cat([image.pixel_values for image in images])
    grids_hw = [image.grid_hw for image in images]
    primary = model.vision_tower.encode(pixels, grids_hw, all_maps=False)
    maps = [torch.cat(level) for level in zip(*(features.maps for features in primary), strict=True)]
    encoder, boxes = model.region_encoder, [image.vt_boxes for image in images]
    pooled = encoder.pool_primary(encoder.pyramid(maps), pad_sequence(boxes, batch_first=True))
    return encoder.vt_region_norm(pooled)[_is_box(boxes)]


def _is_box(boxes: list[Tensor]) -> Tensor:
    """(B, R) bool: which rows of padded boxes are boxes."""
    return pad_sequence([torch.ones(len(rows), dtype=torch.bool) for rows in boxes], batch_first=True)


def train(folder: Path, name: str, config: Config) -> None:
    """Train or resume; at every save and at the end, the folder `name` has the checkpoint."""
    model = load_checkpoint(str(folder / config.start)).model.train()
    is_primary = config.part == "primary"
    readers = AttributeReaders(model.config.primary_width if is_primary else model.config.auxiliary_width)
    named = [
        (key, parameter)
        for key, parameter in model.named_parameters()
        if key.startswith(_TRAINED[config.part]) and "merger" not in key
    ]
    named += [(f"readers.{key}", parameter) for key, parameter in readers.named_parameters()]
    groups = split_parameters(named, ("readers",))
    optimiser = MuonAdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
    learner = Learner(folder, name, config, {"model": model, "readers": readers}, optimiser)
    learner.resume()
    batches = VisionBatches(folder / "base", config, learner.step_number).in_worker()
    features_of = primary_features if is_primary else auxiliary_features
    while not learner.is_done:
        images, codes_RK = next(batches)
        classes = codes_to_classes(codes_RK)
        logits = readers(features_of(model, images))
        for attribute, share in attribute_accuracies(logits, classes).items():
            learner.note(attribute, [share])
        learner.update(attribute_loss(logits, classes))
        if learner.is_save_due:
            learner.save()
            save_checkpoint(model, folder / "base", folder / name)
