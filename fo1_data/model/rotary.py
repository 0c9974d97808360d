"""Multimodal rotary positions (M-RoPE) of Qwen-VL: the positions of a prompt, and the rotation.

A position has three axes: time, height, width. Each text token advances all three by 1. The tokens of an
image share the time position and take their row and column; the text behind it continues from the largest
position so far. Region tokens count as text. (Qwen2-VL, arXiv 2409.12191, section 2.1.)

Shapes: N tokens, 3 position axes, E head width, `...` any leading shape.
"""

import torch
from torch import Tensor

from fo1_data.model.bases.family import TextConfig


def image_positions(start: int, rows: int, columns: int) -> Tensor:
    """Positions (3, rows * columns) of an image's tokens in raster order; the first is at `start`."""
    time = torch.zeros(rows, columns, dtype=torch.long)
    row = torch.arange(rows)[:, None].expand(rows, columns)
    column = torch.arange(columns)[None].expand(rows, columns)
    return torch.stack((time, row, column)).flatten(1) + start


def text_positions(start: int, count: int) -> Tensor:
    """Positions (3, count) of text tokens; the first is at `start`."""
    return torch.arange(start, start + count).expand(3, count)


def rotary_frequencies(config: TextConfig) -> Tensor:
    """(E / 2,) float32: the angle by which one position turns each pair of a head's channels."""
    exponents = torch.arange(0, config.head_dim, 2).float() / config.head_dim
    return 1.0 / config.rope_theta**exponents


def cos_sin(positions_3N: Tensor, config: TextConfig) -> tuple[Tensor, Tensor]:
    """Rotation tables of positions: the cosines and the sines, each (N, E) float32.

    The frequencies of a head belong to time, height and width in the numbers of `config.mrope_section`, one
    axis after the other. Interleaved, they are height's at 1, 4, 7, ... and width's at 2, 5, 8, ..., until
    the number of each is reached, and time's elsewhere (Qwen3-VL, arXiv 2511.21631).
    """
    frequencies = rotary_frequencies(config).to(positions_3N.device, non_blocking=True)
    angles = positions_3N[..., None].float() * frequencies
    axis_of = _axes(config).to(angles.device, non_blocking=True)
    return _tables_of(angles.gather(0, axis_of.expand(1, angles.shape[1], -1)).squeeze(0))


def _axes(config: TextConfig) -> Tensor:
    """(E / 2,) int64: the axis of each frequency, 0 time, 1 height, 2 width."""
    if not config.is_interleaved:
        # On the CPU, because the length of the result depends on values: the host would wait for a GPU.
        return torch.repeat_interleave(torch.arange(3), torch.tensor(config.mrope_section))
    axis_of = torch.zeros(config.head_dim // 2, dtype=torch.long)
    for axis in (1, 2):
        axis_of[axis : 3 * config.mrope_section[axis] : 3] = axis
    return axis_of


def text_cos_sin(positions_N: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """As `cos_sin`, for text tokens, whose three positions are equal. frequencies: on their device."""
    return _tables_of(positions_N[:, None].float() * frequencies)


def _tables_of(angles: Tensor) -> tuple[Tensor, Tensor]:
    angles_NE = torch.cat((angles, angles), dim=-1)
    return angles_NE.cos(), angles_NE.sin()


def rotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate states (..., heads, E) by tables that broadcast to (..., 1, E)."""
    first, second = states.chunk(2, dim=-1)
    return states * cos + torch.cat((-second, first), dim=-1) * sin
