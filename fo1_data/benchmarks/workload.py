"""TODO-DOC."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fo1_data.synthetic.scenes import make_scene
from schemas.labels import LabelKind

_LARGEST_SEED = 2**31


@dataclass(frozen=True)
class Workload:
    """Images with boxes (R, 4), every region asked about once by each label kind."""

    pictures: list[tuple[Image.Image, npt.NDArray[Any]]]
    kinds: list[LabelKind]
    max_new_tokens: int

    @property
    def num_regions(self) -> int:
        return sum(len(boxes) for _, boxes in self.pictures)


def make_workload(
    num_images: int,
    num_regions: int,
    kinds: list[LabelKind],
    max_new_tokens: int,
    seed: int,
    edge_px: int | None = None,
) -> Workload:
    """Generated scenes with exactly `num_regions` boxes each: their own, then jittered copies.

    `edge_px` scales the long edge, for models that see more than the bundled one.
    """
    pictures = []
    for index in range(num_images):
        scene = make_scene(seed + index, (num_regions, num_regions))
        boxes = np.asarray([one.box_xyxy for one in scene.objects[:num_regions]], dtype=np.float32).reshape(
            -1, 4
        )
        jitter = np.random.default_rng(seed + index).uniform(-2, 2, (num_regions, 4)).astype(np.float32)
        picked = np.resize(boxes, (num_regions, 4)) + jitter * (np.arange(num_regions) >= len(boxes))[:, None]
        image = scene.image
        if edge_px is not None:
            factor = edge_px / max(image.size)
            image = image.resize((round(image.width * factor), round(image.height * factor)))
            picked = picked * factor
        pictures.append((image, picked.astype(np.float32)))
    return Workload(pictures, kinds, max_new_tokens)
