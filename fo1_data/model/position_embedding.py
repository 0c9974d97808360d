"""Sine embeddings of boxes and of the cells of a feature map (DETR's form, base 10000, angles times 2 pi).

Shapes: B images, C channels, H x W cells of a feature map, F channels of an embedding, `...` any leading
shape.
"""

import math

import torch
from torch import Tensor

_BASE = 10000.0


def _wavelengths(num: int, device: torch.device) -> Tensor:
    """(num,) float32 wavelengths of `num` angles; each wavelength occurs twice in a row."""
    index = torch.arange(num, device=device, dtype=torch.float32)
    return _BASE ** (2 * torch.div(index, 2, rounding_mode="floor") / num)


def embed_boxes(boxes: Tensor, image_hw: tuple[float, float], width: int) -> Tensor:
    """Sine embedding of boxes: center y, center x, width and height, with `width` / 4 channels each.

    boxes: (..., 4) x_min y_min x_max y_max in the pixels of an image of `image_hw` (height, width).
    width: F. Returns (..., F) float32, sines and cosines interleaved.
    """
    height_px, width_px = image_hw
    x_min, y_min, x_max, y_max = boxes.float().unbind(-1)
    parts = (
        (y_min + y_max) / 2 / height_px,
        (x_min + x_max) / 2 / width_px,
        (x_max - x_min) / width_px,
        (y_max - y_min) / height_px,
    )
    wavelengths_F = _wavelengths(width // 4, boxes.device)
    return torch.cat([_interleave(part * 2 * math.pi, wavelengths_F) for part in parts], dim=-1)


def _interleave(angle: Tensor, wavelengths_F: Tensor) -> Tensor:
    """(...) angles to (..., F): the sine on even channels, the cosine on odd ones, by channel wavelength."""
    angles = angle[..., None] / wavelengths_F
    return torch.stack((angles[..., 0::2].sin(), angles[..., 1::2].cos()), dim=-1).flatten(-2)


def embed_cells(map_BCHW: Tensor) -> Tensor:
    """Sine embedding of a map's cells: the row in the first half of the channels, the column in the second.

    A position is index / length. Unlike in `embed_boxes`, each channel wavelength gives a sine and a
    cosine. Returns (1, C, H, W) float32.
    """
    channels, height, width = map_BCHW.shape[1:]
    device = map_BCHW.device
    half = channels // 2
    wavelengths = _wavelengths(half // 2, device)

    def embed_axis(length: int) -> Tensor:
        angle = torch.arange(length, device=device, dtype=torch.float32) / length * 2 * math.pi
        angles = angle[:, None] / wavelengths
        return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)

    rows_HWC = embed_axis(height)[:, None].expand(height, width, half)
    columns_HWC = embed_axis(width)[None].expand(height, width, half)
    return torch.cat((rows_HWC, columns_HWC), dim=-1).permute(2, 0, 1)[None]
