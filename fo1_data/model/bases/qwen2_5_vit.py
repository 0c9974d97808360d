"""The primary vision tower: Qwen2.5-VL's ViT (arXiv 2502.13923, section 2.1), for images of any sizes.

Most blocks attend within windows, a few over the whole image. Patches come in the order of
`ImageProcessor.prepare`: image tokens in raster order, each of them 2 x 2 patches. Inside, the tokens of a
window follow each other, and the windows of one shape too, so that these attend in one call.

Shapes: U patches of all images, T image tokens of an image, M all image tokens, P values of a patch, C
channels, D language model width, N windows of one shape, L patches of a window, A heads, E head width, H x W
the patch grid of an image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from fo1_data.model.bases.qwen2_5_vl import WindowedVisionConfig
from fo1_data.model.bases.vision_tower import PrimaryFeatures, VisionTower, in_raster_order, to_map
from fo1_data.model.layers import GatedFeedForward, RMSNorm, initialise
from fo1_data.model.rotary import rotate

_EPSILON = 1e-6
_ROTARY_BASE = 10000.0


@dataclass(frozen=True)
class Windows:
    """Windows of one size that follow each other: from patch `start`, `count` times `length` patches."""

    start: int
    count: int
    length: int


@dataclass(frozen=True)
class PatchLayout:
    """How the patches of several images are arranged for the ViT.

    order_M: for each place, the raster index of its image token; images stay in order. images: each image as
    one window, images of equally many patches together. windows: the windows of all images. cos, sin:
    rotation tables (U, E) float32.
    """

    order_M: Tensor
    images: list[Windows]
    windows: list[Windows]
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
        images: list[Windows] = []
        orders, windows, places, token = [], [], [], 0
        for rows, columns in grids_hw:
            grid = np.arange(rows * columns // merge**2).reshape(rows // merge, columns // merge)
            start = token * merge**2
            last = images[-1] if images else None
            if last is not None and last.length == rows * columns:
                images[-1] = Windows(last.start, last.count + 1, last.length)
            else:
                images.append(Windows(start, 1, rows * columns))
            parts, image_windows = _by_window(grid, window)
            for count, num_tokens in image_windows:
                windows.append(Windows(start, count, num_tokens * merge**2))
                start += count * num_tokens * merge**2
            orders.append(parts + token)
            places.append(_patch_places(parts, grid.shape[1], merge))
            token += grid.size
        order_M = torch.from_numpy(np.concatenate(orders)).to(device, non_blocking=True)
        cos, sin = self._tables(torch.from_numpy(np.concatenate(places)).to(device, non_blocking=True))
        return PatchLayout(order_M, images, windows, cos, sin)

    def _tables(self, places_U2: Tensor) -> tuple[Tensor, Tensor]:
        """Rotation tables (U, E): half of a head's angles follow the row, half the column."""
        quarter = self.config.hidden_size // self.config.num_heads // 4
        exponents = torch.arange(quarter, device=places_U2.device, dtype=torch.float32) / quarter
        angles_UE = (places_U2[..., None].float() / _ROTARY_BASE**exponents).flatten(1).repeat(1, 2)
        return angles_UE.cos(), angles_UE.sin()


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

    def forward(self, states_UC: Tensor, layout: PatchLayout, windows: list[Windows]) -> Tensor:
        states_UC = states_UC + self.attn(self.norm1(states_UC), layout, windows)
        return states_UC + self.mlp(self.norm2(states_UC))


class _Attention(nn.Module):
    def __init__(self, config: WindowedVisionConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, normed_UC: Tensor, layout: PatchLayout, windows: list[Windows]) -> Tensor:
        qkv_U3AE = self.qkv(normed_UC).view(len(normed_UC), 3, self.num_heads, -1)
        cos_U11E, sin_U11E = layout.cos[:, None, None], layout.sin[:, None, None]
        turned_U2AE = rotate(qkv_U3AE[:, :2].float(), cos_U11E, sin_U11E).to(normed_UC.dtype)
        queries_UAE, keys_UAE = turned_U2AE.unbind(1)
        attended = [_attend(queries_UAE, keys_UAE, qkv_U3AE[:, 2], span) for span in windows]
        return self.proj(torch.cat(attended))


def _attend(queries_UAE: Tensor, keys_UAE: Tensor, values_UAE: Tensor, span: Windows) -> Tensor:
    """The attended values (N * L, C) of these windows."""
    num_patches = span.count * span.length
    queries, keys, values = (
        part[span.start : span.start + num_patches].unflatten(0, (span.count, span.length)).transpose(1, 2)
        for part in (queries_UAE, keys_UAE, values_UAE)
    )
    attended_NALE = scaled_dot_product_attention(queries, keys, values)
    return attended_NALE.transpose(1, 2).reshape(num_patches, -1)


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


def _by_window(
    grid: npt.NDArray[np.int64], window: int
) -> tuple[npt.NDArray[np.int64], list[tuple[int, int]]]:
    """Token indices by window, windows of one size together, and the (number, size in tokens) of these."""
    by_size: dict[int, list[npt.NDArray[np.int64]]] = {}
    for part in _windows_of(grid, window):
        by_size.setdefault(part.size, []).append(part.ravel())
    order = np.concatenate([part for parts in by_size.values() for part in parts])
    return order, [(len(parts), size) for size, parts in by_size.items()]


def _patch_places(order_T: npt.NDArray[np.int64], columns: int, merge: int) -> npt.NDArray[np.int64]:
    """(patches, 2): row and column of each patch of the image tokens, in the order of these."""
    inside = np.stack(np.divmod(np.arange(merge**2), merge), axis=-1)
    corners = np.stack(np.divmod(order_T, columns), axis=-1) * merge
    return (corners[:, None] + inside).reshape(-1, 2)
