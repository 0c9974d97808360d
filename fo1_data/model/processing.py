"""An image and its boxes made ready for both vision towers.

Frames: boxes come in pixels of the image given; `aux_boxes` are in pixels of the (limited) auxiliary
image, `vt_boxes` in pixels of the ViT's resized image. All x_min y_min x_max y_max.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import Qwen2VLImageProcessorPil

from fo1_data.errors import CheckpointError
from fo1_data.model.configuration import Fo1Config

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_SHORTEST_PX = 28


@dataclass(frozen=True)
class PreparedImage:
    """One image for the model.

    pixel_values: (gh * gw, 1176) float32; grid_hw: (gh, gw) patches; aux_image: (3, h, w) float32,
    ImageNet-normalised; aux_boxes, vt_boxes: (R, 4) float32.
    """

    pixel_values: Tensor
    grid_hw: tuple[int, int]
    aux_image: Tensor
    aux_boxes: Tensor
    vt_boxes: Tensor


class ImageProcessor:
    """Resizing, normalising and patching as the checkpoint's `preprocessor_config.json` says. Thread-safe."""

    def __init__(self, folder: str | Path, config: Fo1Config) -> None:
        path = Path(folder) / "preprocessor_config.json"
        if not path.is_file():
            raise CheckpointError(f"{folder}: no preprocessor_config.json")
        self._patches = Qwen2VLImageProcessorPil.from_pretrained(str(folder))
        self._long_edge_px = config.long_edge_limit_px
        self._patch_px = config.vision.patch_size

    def prepare(self, image: Image.Image, boxes_xyxy: np.ndarray) -> PreparedImage:
        """An RGB image and boxes (R, 4) in its pixels, any R from 0 up, to tensors for the model.

        Boxes are clamped to the image; inverted and empty ones are kept as they are.
        """
        limited, scale_xy = limit_size(image, self._long_edge_px)
        boxes = torch.as_tensor(np.asarray(boxes_xyxy, dtype=np.float32).reshape(-1, 4))
        boxes = boxes * torch.tensor([*scale_xy, *scale_xy], dtype=torch.float32)
        width, height = limited.size
        aux_boxes = torch.minimum(boxes.clamp(min=0), torch.tensor([width, height, width, height]).float())
        patches = self._patches(images=limited, return_tensors="pt")
        _, rows, columns = patches["image_grid_thw"][0].tolist()
        to_vit = torch.tensor([columns * self._patch_px / width, rows * self._patch_px / height]).float()
        return PreparedImage(
            pixel_values=patches["pixel_values"],
            grid_hw=(rows, columns),
            aux_image=_normalise(limited),
            aux_boxes=aux_boxes,
            vt_boxes=aux_boxes * to_vit.repeat(2),
        )


def limit_size(image: Image.Image, long_edge_px: int) -> tuple[Image.Image, tuple[float, float]]:
    """Shrink an image whose long edge is over the limit, raise sides under 28 px; bicubic.

    Returns the image and the factors (x, y) that bring its boxes along.
    """
    width, height = image.size
    new_w, new_h = width, height
    long_edge = max(width, height)
    if long_edge > long_edge_px:
        new_w, new_h = int(width * long_edge_px / long_edge), int(height * long_edge_px / long_edge)
    new_w, new_h = max(new_w, _SHORTEST_PX), max(new_h, _SHORTEST_PX)
    if (new_w, new_h) == (width, height):
        return image, (1.0, 1.0)
    return image.resize((new_w, new_h), Image.Resampling.BICUBIC), (new_w / width, new_h / height)


def _normalise(image: Image.Image) -> Tensor:
    """RGB image to (3, h, w) float32: x / 255, then ImageNet mean and standard deviation."""
    pixels = torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1).float() / 255.0
    mean = torch.tensor(_IMAGENET_MEAN)[:, None, None]
    std = torch.tensor(_IMAGENET_STD)[:, None, None]
    return (pixels - mean) / std
