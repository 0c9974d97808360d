"""The workload of `fo1 bench engine`: generated images with a fixed number of boxes each."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fo1_data.boxes import as_boxes
from fo1_data.synthetic.scenes import make_scene
from schemas.labels import LabelKind


@dataclass(frozen=True)
class Workload:
    """Images with boxes, (R, 4) float32 `xyxy` in pixels, and the label kinds to ask for each region."""

    images: list[tuple[Image.Image, npt.NDArray[Any]]]
    kinds: list[LabelKind]
    max_new_tokens: int

    @property
    def num_regions(self) -> int:
        return sum(len(boxes) for _, boxes in self.images)


def make_workload(
    num_images: int,
    num_regions: int,
    kinds: list[LabelKind],
    max_new_tokens: int,
    seed: int,
    edge_px: int | None = None,
) -> Workload:
    """Generated scenes with exactly `num_regions` boxes each: their own, then jittered copies of these.

    `edge_px`: the long edge to scale the images to, for models with a larger input than the bundled one.
    """
    images = []
    for index in range(num_images):
        scene = make_scene(seed + index, (num_regions, num_regions))
        own = as_boxes([scene_object.box_xyxy for scene_object in scene.objects[:num_regions]])
        jitter = np.random.default_rng(seed + index).uniform(-2, 2, (num_regions, 4)).astype(np.float32)
        is_copy = (np.arange(num_regions) >= len(own))[:, None]
        boxes = np.resize(own, (num_regions, 4)) + jitter * is_copy
        image = scene.image
        if edge_px is not None:
            factor = edge_px / max(image.size)
            image = image.resize((round(image.width * factor), round(image.height * factor)))
            boxes = boxes * factor
        images.append((image, boxes.astype(np.float32)))
    return Workload(images, kinds, max_new_tokens)
