"""Multimodal rotary positions (M-RoPE) of Qwen2.5-VL: ids of a prompt, and the rotation itself.

Three position axes (time, height, width). Text advances all three together; an image's tokens
share the time position and take their row and column; text after it goes on from the largest.
Region tokens count as text. (Qwen2-VL, arXiv 2409.12191, section 2.1.)
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def image_positions(start: int, rows: int, columns: int) -> Tensor:
    """(3, rows * columns) positions of an image's merged tokens, first one at `start`."""
    time = torch.zeros(rows, columns, dtype=torch.long)
    row = torch.arange(rows)[:, None].expand(rows, columns)
    column = torch.arange(columns)[None].expand(rows, columns)
    return torch.stack((time, row, column)).flatten(1) + start


def text_positions(start: int, count: int) -> Tensor:
    """(3, count) positions of text, first one at `start`."""
    return torch.arange(start, start + count).expand(3, count)


def cos_sin(positions: Tensor, inv_freq: Tensor, sections: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Rotation tables for positions (3, N): two (N, head_dim) float32 tensors.

    Frequencies are split over the axes by `sections`: the first go with time, then height, width.
    """
    angles = positions[..., None].float() * inv_freq.float()
    # Made on the CPU: the length of the result depends on values, which a GPU would be waited for.
    axis_of = torch.repeat_interleave(torch.arange(3), torch.tensor(sections))
    axis_of = axis_of.to(angles.device, non_blocking=True)
    picked = angles.gather(0, axis_of.expand(1, angles.shape[1], -1)).squeeze(0)
    doubled = torch.cat((picked, picked), dim=-1)
    return doubled.cos(), doubled.sin()


def rotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate (..., heads, head_dim) states by tables broadcastable to (..., 1, head_dim)."""
    first, second = states.chunk(2, dim=-1)
    return states * cos + torch.cat((-second, first), dim=-1) * sin
