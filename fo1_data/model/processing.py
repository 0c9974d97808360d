"""Prepares an image and its boxes for both vision towers.

Frames: `boxes_xyxy` are in pixels of the image that the caller passes, `aux_boxes` in pixels of the
auxiliary image (the image after `limit_size`), `vt_boxes` in pixels of the ViT's resized image. All are
x_min y_min x_max y_max.

Shapes: R regions, U patches of the ViT, H x W pixels of the auxiliary image.
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
    """An image and its boxes as tensors for the model.

    pixel_values: (U, 1176) float32. grid_hw: rows and columns of the ViT's patch grid, U patches.
    aux_image: (3, H, W) float32, ImageNet-normalised. aux_boxes, vt_boxes: (R, 4) float32.
    """

    pixel_values: Tensor
    grid_hw: tuple[int, int]
    aux_image: Tensor
    aux_boxes: Tensor
    vt_boxes: Tensor


class ImageProcessor:
    """Resizes, normalises and patches images as `preprocessor_config.json` says. Thread-safe."""

    def __init__(self, folder: str | Path, config: Fo1Config) -> None:
        path = Path(folder) / "preprocessor_config.json"
        if not path.is_file():
            raise CheckpointError(f"{folder}: no preprocessor_config.json")
        self._patches = Qwen2VLImageProcessorPil.from_pretrained(str(folder))
        self._long_edge_px = config.long_edge_limit_px
        self._patch_px = config.vision.patch_size

    def prepare(self, image: Image.Image, boxes_xyxy: np.ndarray) -> PreparedImage:
        """Prepare an RGB image and its boxes (R, 4), in pixels of this image; R may be 0.

        Boxes are clamped to the image; inverted and empty boxes are kept.
        """
        limited, scale_xy = limit_size(image, self._long_edge_px)
        boxes_R4 = torch.as_tensor(np.asarray(boxes_xyxy, dtype=np.float32).reshape(-1, 4))
        boxes_R4 = boxes_R4 * torch.tensor([*scale_xy, *scale_xy], dtype=torch.float32)
        width, height = limited.size
        limits_4 = torch.tensor([width, height, width, height]).float()
        aux_boxes_R4 = torch.minimum(boxes_R4.clamp(min=0), limits_4)
        patches = self._patches(images=limited, return_tensors="pt")
        _, rows, columns = patches["image_grid_thw"][0].tolist()
        to_vit = torch.tensor([columns * self._patch_px / width, rows * self._patch_px / height]).float()
        return PreparedImage(
            pixel_values=patches["pixel_values"],
            grid_hw=(rows, columns),
            aux_image=_normalise(limited),
            aux_boxes=aux_boxes_R4,
            vt_boxes=aux_boxes_R4 * to_vit.repeat(2),
        )


def limit_size(image: Image.Image, long_edge_px: int) -> tuple[Image.Image, tuple[float, float]]:
    """Shrink an image whose long edge exceeds the limit, and enlarge sides under 28 px; bicubic.

    Returns the image and the factors (x, y) by which its boxes scale.
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
    """RGB image to (3, H, W) float32: x / 255, then ImageNet mean and standard deviation."""
    pixels_3HW = torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1).float() / 255.0
    mean = torch.tensor(_IMAGENET_MEAN)[:, None, None]
    std = torch.tensor(_IMAGENET_STD)[:, None, None]
    return (pixels_3HW - mean) / std
