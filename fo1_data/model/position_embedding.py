"""Sine embeddings of boxes and of feature-map cells (DETR's form, base 10000, angles times 2 pi)."""

import math

import torch
from torch import Tensor

_BASE = 10000.0


def _frequencies(num: int, device: torch.device) -> Tensor:
    """(num,) wavelengths in neighbouring pairs, for an embedding of `num` angles."""
    index = torch.arange(num, device=device, dtype=torch.float32)
    return _BASE ** (2 * torch.div(index, 2, rounding_mode="floor") / num)


def embed_boxes(boxes: Tensor, image_hw: tuple[float, float], width: int) -> Tensor:
    """Sine embedding of boxes in centre form, order cy, cx, w, h, a quarter of `width` each.

    boxes: (..., 4) x_min y_min x_max y_max in the pixels of an image of `image_hw` (height, width).
    Returns (..., width) float32, sines and cosines interleaved.
    """
    height_px, width_px = image_hw
    x_min, y_min, x_max, y_max = boxes.float().unbind(-1)
    parts = (
        (y_min + y_max) / 2 / height_px,
        (x_min + x_max) / 2 / width_px,
        (x_max - x_min) / width_px,
        (y_max - y_min) / height_px,
    )
    wavelengths = _frequencies(width // 4, boxes.device)
    return torch.cat([_interleaved(part * 2 * math.pi, wavelengths) for part in parts], dim=-1)


def _interleaved(angle: Tensor, wavelengths: Tensor) -> Tensor:
    """(...) angles to (..., D): sin on even channels, cos on odd ones, each with its own wavelength."""
    angles = angle[..., None] / wavelengths
    return torch.stack((angles[..., 0::2].sin(), angles[..., 1::2].cos()), dim=-1).flatten(-2)


def embed_cells(features: Tensor) -> Tensor:
    """Sine embedding of a (B, channels, height, width) map's cells: rows in the first half, then columns.

    Positions are index / length. Unlike a box's, each wavelength gives a sine and a cosine.
    Returns (1, channels, height, width) float32.
    """
    channels, height, width = features.shape[1:]
    device = features.device
    half = channels // 2
    wavelengths = _frequencies(half // 2, device)

    def axis(length: int) -> Tensor:
        angle = torch.arange(length, device=device, dtype=torch.float32) / length * 2 * math.pi
        angles = angle[:, None] / wavelengths
        return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)

    rows = axis(height)[:, None].expand(height, width, half)
    columns = axis(width)[None].expand(height, width, half)
    return torch.cat((rows, columns), dim=-1).permute(2, 0, 1)[None]
