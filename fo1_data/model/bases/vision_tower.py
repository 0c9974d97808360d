"""The interface of a vision tower: several images in, and for each what regions and the language model need.

Shapes: U patches of all images of a call together, P values of a patch, T image tokens of one image, D
language model width, C channels, H x W the patch grid of an image, G layers that take deep features, N
windows of one size, L patches of a window, A heads, E head width.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

_ROTARY_BASE = 10000.0


@dataclass(frozen=True)
class PrimaryFeatures:
    """A tower's output for one image.

    image_embeds: (T, D) in raster order. maps: (1, C, H, W), the last is that of the last block. deep_GTD:
    what the first G layers of the language model add to their output at the image's tokens; None: nothing.
    """

    image_embeds: Tensor
    maps: list[Tensor]
    deep_GTD: Tensor | None = None


class VisionTower(nn.Module, ABC):
    """A family's vision tower. Its weights have the names of the family's own checkpoints.

    Patches come in the order of `ImageProcessor.prepare`: image tokens in raster order, each of them
    `spatial_merge_size` squared patches. `config` is the family's `VisionConfig`.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def encode(
        self, pixels_UP: Tensor, grids_hw: Sequence[tuple[int, int]], *, all_maps: bool
    ) -> list[PrimaryFeatures]:
        """Run the tower over several images of any sizes, packed into one sequence.

        grids_hw: rows and columns of each image's patch grid. all_maps: keep every map that the tower has,
        which regions need if the checkpoint has no pyramid; otherwise only the last.
        """

    def reference_order(self, grid_hw: tuple[int, int]) -> npt.NDArray[np.int64]:
        """The raster index of each image token, in the order in which the family's own code has them."""
        merged = self.config.spatial_merge_size**2
        return np.arange(grid_hw[0] * grid_hw[1] // merged)


def to_map(blocks: Tensor, grid_hw: tuple[int, int], merge: int) -> Tensor:
    """The patches (T, merge^2, C) of an image's tokens in raster order as a map (1, C, H, W)."""
    rows, columns = grid_hw
    grid = blocks.view(rows // merge, columns // merge, merge, merge, -1)
    return grid.permute(4, 0, 2, 1, 3).reshape(1, -1, rows, columns)


def in_raster_order(tokens: Tensor, order_M: Tensor) -> Tensor:
    """Tokens (M, ...) in the raster order of each image; order_M: the raster index of each."""
    raster = torch.empty_like(tokens)
    raster[order_M] = tokens
    return raster


def patch_cos_sin(places_U2: Tensor, head_width: int) -> tuple[Tensor, Tensor]:
    """Rotation tables (U, E) float32 of rows and columns: half of a head's angles follow each."""
    quarter = head_width // 4
    exponents = torch.arange(quarter, device=places_U2.device, dtype=torch.float32) / quarter
    angles_UE = (places_U2[..., None].float() / _ROTARY_BASE**exponents).flatten(1).repeat(1, 2)
    return angles_UE.cos(), angles_UE.sin()


def attend_in_spans(
    queries_UAE: Tensor, keys_UAE: Tensor, values_UAE: Tensor, spans: Sequence[tuple[int, int]]
) -> Tensor:
    """The attended values (U, A * E), each patch attending to its window.

    spans: (count, length) of neighbouring windows of equally many patches, which attend in one call.
    """
    # Split at once: the gradient of a slice is as large as the whole, and there may be many spans.
    sizes = [count * length for count, length in spans]
    parts = zip(*(part.split(sizes) for part in (queries_UAE, keys_UAE, values_UAE)), strict=True)
    attended = []
    for (count, length), span_parts in zip(spans, parts, strict=True):
        queries, keys, values = (part.unflatten(0, (count, length)).transpose(1, 2) for part in span_parts)
        attended_NALE = scaled_dot_product_attention(queries, keys, values)
        attended.append(attended_NALE.transpose(1, 2).reshape(count * length, -1))
    return torch.cat(attended)


def group_by_size(sizes: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], list[int]]:
    """Group the indices of equal sizes, in order of first appearance."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, size in enumerate(sizes):
        groups.setdefault(size, []).append(index)
    return groups
