"""Runs the vision towers and gives their output by image: the ViT (primary) and DaViT (auxiliary).

The ViT takes images of any sizes in one pass, DaViT images of one size.

Shapes: U patches of all images of a call together, P values of a patch, M image tokens of all images, T of
one image, D language model width, C channels, H x W the patch grid of an image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fo1_data.model.vit import VisionTransformer


@dataclass(frozen=True)
class PrimaryFeatures:
    """The ViT's output for one image.

    image_embeds: (T, D) in raster order. maps: (1, C, H, W) after the full-attention blocks, in block order.
    """

    image_embeds: Tensor
    maps: list[Tensor]


def encode_primary(
    vit: VisionTransformer, pixels_UP: Tensor, grids_hw: Sequence[tuple[int, int]], *, all_maps: bool
) -> list[PrimaryFeatures]:
    """Run the ViT over several images packed into one sequence.

    grids_hw: rows and columns of each image's patch grid. all_maps: keep the map of every full-attention
    block, which regions need if the checkpoint has no pyramid; otherwise keep only the last.
    """
    blocks = list(vit.config.fullatt_block_indexes)
    layout = vit.layout(grids_hw, pixels_UP.device)
    embeds_MD, states = vit(pixels_UP, layout, blocks if all_maps else blocks[-1:])
    merge = vit.config.spatial_merge_size
    num_tokens = [rows * columns // merge**2 for rows, columns in grids_hw]
    embeds = _in_raster_order(embeds_MD, layout.order_M).split(num_tokens)
    maps = [
        _in_raster_order(states_UC.view(-1, merge**2, states_UC.shape[-1]), layout.order_M).split(num_tokens)
        for states_UC in states
    ]
    return [
        PrimaryFeatures(embeds[image], [to_map(level[image], grid_hw, merge) for level in maps])
        for image, grid_hw in enumerate(grids_hw)
    ]


def _in_raster_order(tokens: Tensor, order_M: Tensor) -> Tensor:
    """Tokens (M, ...) of the layout in the raster order of each image."""
    raster = torch.empty_like(tokens)
    raster[order_M] = tokens
    return raster


def to_map(blocks: Tensor, grid_hw: tuple[int, int], merge: int) -> Tensor:
    """The patches (T, merge^2, C) of an image's tokens in raster order as a map (1, C, H, W)."""
    rows, columns = grid_hw
    grid = blocks.view(rows // merge, columns // merge, merge, merge, -1)
    return grid.permute(4, 0, 2, 1, 3).reshape(1, -1, rows, columns)


def group_by_size(sizes: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], list[int]]:
    """Group the indices of equal sizes, in order of first appearance."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, size in enumerate(sizes):
        groups.setdefault(size, []).append(index)
    return groups
