"""The primary vision tower: Qwen2.5-VL's ViT (arXiv 2502.13923, section 2.1), for images of any sizes.

Most blocks attend within windows, a few over the whole image. Patches come in the order of
`ImageProcessor.prepare`: image tokens in raster order, each of them 2 x 2 patches. Inside, the tokens of a
window follow each other, and the windows of one shape too, so that these attend in one call.

Shapes: U patches of all images, T image tokens of an image, M all image tokens, P values of a patch, C
channels, D language model width, N windows of one shape, L patches of a window, A heads, E head width, H x W
the patch grid of an image.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from fo1_data.model.bases.qwen2_5_vl import WindowedVisionConfig
from fo1_data.model.bases.vision_tower import (
    PrimaryFeatures,
    VisionTower,
    attend_in_spans,
    in_raster_order,
    patch_cos_sin,
    to_map,
)
from fo1_data.model.layers import GatedFeedForward, RMSNorm, initialise
from fo1_data.model.rotary import rotate

_EPSILON = 1e-6


@dataclass(frozen=True)
class Windows:
    """Windows whose patches attend to each other.

    spans: (count, length) of windows of equally many patches. order_U: the patches as these windows have
    them, back_U: the places of the patches in that order; None: they are so already.
    """

    spans: list[tuple[int, int]]
    order_U: Tensor | None = None
    back_U: Tensor | None = None


@dataclass(frozen=True)
class PatchLayout:
    """How the patches of several images are arranged for the ViT.

    order_M: for each place, the raster index of its image token; images stay in order. images: each image as
    one window. windows: the windows of all images. cos, sin: rotation tables (U, E) float32.
    """

    order_M: Tensor
    images: Windows
    windows: Windows
    cos: Tensor
    sin: Tensor


class VisionTransformer(VisionTower):
    """Qwen2.5-VL's ViT with its merger of 2 x 2 patches; the names of the weights are the released ones."""

    def __init__(self, config: WindowedVisionConfig) -> None:
        super().__init__(config)
        self.patch_embed = _PatchEmbedding(config)
        self.blocks = nn.ModuleList([_Block(config) for _ in range(config.depth)])
        self.merger = _Merger(config)
        self.apply(initialise)

    def forward(
        self, pixels_UP: Tensor, layout: PatchLayout, kept_blocks: Sequence[int]
    ) -> tuple[Tensor, list[Tensor]]:
        """Image tokens (M, D) and the states (U, C) after `kept_blocks`, all in the order of the layout."""
        merged = self.config.spatial_merge_size**2
        states_UC = self.patch_embed(pixels_UP)
        states_UC = states_UC.view(len(layout.order_M), merged, -1)[layout.order_M].flatten(0, 1)
        kept: dict[int, Tensor] = {}
        for index, block in enumerate(self.blocks):
            is_full = index in self.config.fullatt_block_indexes
            states_UC = block(states_UC, layout, layout.images if is_full else layout.windows)
            if index in kept_blocks:
                kept[index] = states_UC
        return self.merger(states_UC), [kept[index] for index in kept_blocks]

    def encode(
        self, pixels_UP: Tensor, grids_hw: Sequence[tuple[int, int]], *, all_maps: bool
    ) -> list[PrimaryFeatures]:
        """As `VisionTower.encode`. The maps are those after the full-attention blocks, in block order."""
        blocks = list(self.config.fullatt_block_indexes)
        layout = self.layout(grids_hw, pixels_UP.device)
        embeds_MD, states = self(pixels_UP, layout, blocks if all_maps else blocks[-1:])
        merge = self.config.spatial_merge_size
        num_tokens = [rows * columns // merge**2 for rows, columns in grids_hw]
        embeds = in_raster_order(embeds_MD, layout.order_M).split(num_tokens)
        maps = [
            in_raster_order(states_UC.view(-1, merge**2, states_UC.shape[-1]), layout.order_M).split(
                num_tokens
            )
            for states_UC in states
        ]
        return [
            PrimaryFeatures(embeds[image], [to_map(level[image], grid_hw, merge) for level in maps])
            for image, grid_hw in enumerate(grids_hw)
        ]

    def reference_order(self, grid_hw: tuple[int, int]) -> npt.NDArray[np.int64]:
        """Window by window."""
        merge = self.config.spatial_merge_size
        window = self.config.window_size // self.config.patch_size // merge
        return window_order(grid_hw[0] // merge, grid_hw[1] // merge, window)

    def layout(self, grids_hw: Sequence[tuple[int, int]], device: torch.device) -> PatchLayout:
        """Arrange the patches of images by window. grids_hw: rows and columns of each image's patch grid."""
        merge, patch_px = self.config.spatial_merge_size, self.config.patch_size
        window = self.config.window_size // merge // patch_px
        orders, places, token = [], [], 0
        lengths: list[int] = []
        for rows, columns in grids_hw:
            grid = np.arange(rows * columns // merge**2).reshape(rows // merge, columns // merge)
            parts = _by_size(_windows_of(grid, window))
            lengths += [part.size * merge**2 for part in parts]
            orders.append(np.concatenate([part.ravel() for part in parts]) + token)
            places.append(_patch_places(orders[-1] - token, grid.shape[1], merge))
            token += grid.size
        order_M = torch.from_numpy(np.concatenate(orders)).to(device, non_blocking=True)
        places_U2 = torch.from_numpy(np.concatenate(places)).to(device, non_blocking=True)
        cos, sin = patch_cos_sin(places_U2, self.config.hidden_size // self.config.num_heads)
        images = _by_length([rows * columns for rows, columns in grids_hw], device)
        return PatchLayout(order_M, images, _by_length(lengths, device), cos, sin)


class _PatchEmbedding(nn.Module):
    """The convolution over single patches as one product, which takes a quarter of the time on a CPU."""

    def __init__(self, config: WindowedVisionConfig) -> None:
        super().__init__()
        kernel = (config.temporal_patch_size, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(config.in_channels, config.hidden_size, kernel, stride=kernel, bias=False)

    def forward(self, pixels_UP: Tensor) -> Tensor:
        return linear(pixels_UP, self.proj.weight.flatten(1))


class _Block(nn.Module):
    def __init__(self, config: WindowedVisionConfig) -> None:
        super().__init__()
        self.norm1 = RMSNorm(config.hidden_size, eps=_EPSILON)
        self.norm2 = RMSNorm(config.hidden_size, eps=_EPSILON)
        self.attn = _Attention(config)
        self.mlp = GatedFeedForward(
            config.hidden_size, config.intermediate_size, config.hidden_act, has_bias=True
        )

    def forward(self, states_UC: Tensor, layout: PatchLayout, windows: Windows) -> Tensor:
        states_UC = states_UC + self.attn(self.norm1(states_UC), layout, windows)
        return states_UC + self.mlp(self.norm2(states_UC))


class _Attention(nn.Module):
    def __init__(self, config: WindowedVisionConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, normed_UC: Tensor, layout: PatchLayout, windows: Windows) -> Tensor:
        qkv_U3AE = self.qkv(normed_UC).view(len(normed_UC), 3, self.num_heads, -1)
        cos_U11E, sin_U11E = layout.cos[:, None, None], layout.sin[:, None, None]
        turned_U2AE = rotate(qkv_U3AE[:, :2].float(), cos_U11E, sin_U11E).to(normed_UC.dtype)
        queries_UAE, keys_UAE, values_UAE = (
            part_UAE if windows.order_U is None else part_UAE.index_select(0, windows.order_U)
            for part_UAE in (*turned_U2AE.unbind(1), qkv_U3AE.select(1, 2))
        )
        attended_UC = attend_in_spans(queries_UAE, keys_UAE, values_UAE, windows.spans)
        if windows.back_U is not None:
            attended_UC = attended_UC.index_select(0, windows.back_U)
        return self.proj(attended_UC)


class _Merger(nn.Module):
    """Turns the 2 x 2 patches of each image token into one vector of the language model's width."""

    def __init__(self, config: WindowedVisionConfig) -> None:
        super().__init__()
        joined = config.hidden_size * config.spatial_merge_size**2
        self.ln_q = RMSNorm(config.hidden_size, eps=_EPSILON)
        self.mlp = nn.Sequential(
            nn.Linear(joined, joined), nn.GELU(), nn.Linear(joined, config.out_hidden_size)
        )

    def forward(self, states_UC: Tensor) -> Tensor:
        return self.mlp(self.ln_q(states_UC).view(-1, self.mlp[0].in_features))


def window_order(rows: int, columns: int, window: int) -> npt.NDArray[np.int64]:
    """Raster indices of rows x columns image tokens, window by window as the windows lie in the image."""
    grid = np.arange(rows * columns).reshape(rows, columns)
    return np.concatenate([part.ravel() for part in _windows_of(grid, window)])


def _windows_of(grid: npt.NDArray[np.int64], window: int) -> list[npt.NDArray[np.int64]]:
    rows, columns = (range(0, side, window) for side in grid.shape)
    return [grid[row : row + window, column : column + window] for row in rows for column in columns]


def _by_size(parts: list[npt.NDArray[np.int64]]) -> list[npt.NDArray[np.int64]]:
    """The windows of an image, those of one size together."""
    by_size: dict[int, list[npt.NDArray[np.int64]]] = {}
    for part in parts:
        by_size.setdefault(part.size, []).append(part)
    return [part for members in by_size.values() for part in members]


def _by_length(lengths: Sequence[int], device: torch.device) -> Windows:
    """Windows of so many patches each, which follow each other; those of one length attend together."""
    counts = Counter(lengths)
    spans = [(count, length) for length, count in counts.items()]
    if len(spans) == len(list(groupby(lengths))):
        return Windows(spans)
    patches = np.split(np.arange(sum(lengths)), np.cumsum(lengths)[:-1])
    order = np.concatenate([part for length in counts for part in patches if len(part) == length])
    tensors = (torch.from_numpy(part).to(device, non_blocking=True) for part in (order, order.argsort()))
    return Windows(spans, *tensors)


def _patch_places(order_T: npt.NDArray[np.int64], columns: int, merge: int) -> npt.NDArray[np.int64]:
    """(patches, 2): row and column of each patch of the image tokens, in the order of these."""
    inside = np.stack(np.divmod(np.arange(merge**2), merge), axis=-1)
    corners = np.stack(np.divmod(order_T, columns), axis=-1) * merge
    return (corners[:, None] + inside).reshape(-1, 2)
