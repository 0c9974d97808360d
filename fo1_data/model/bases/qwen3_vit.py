"""Qwen3-VL's vision tower (arXiv 2511.21631): a ViT with full attention and DeepStack (arXiv 2406.04334).

Shapes: U patches of all images, M all image tokens, P values of a patch, C channels, D language model width,
A heads, E head width, G blocks with deep features.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from fo1_data.model.bases.full_attention import (
    FullLayout,
    attend_within_images,
    full_layout,
    position_embeddings,
)
from fo1_data.model.bases.qwen3_vl import DeepVisionConfig
from fo1_data.model.bases.vision_tower import PrimaryFeatures, VisionTower, to_map
from fo1_data.model.layers import ACTIVATIONS, initialise
from fo1_data.model.rotary import rotate

_EPSILON = 1e-6


class DeepVisionTransformer(VisionTower):
    """The ViT with its mergers of 2 x 2 patches: one for the image tokens, one for each deep feature."""

    def __init__(self, config: DeepVisionConfig) -> None:
        super().__init__(config)
        self.patch_embed = _PatchEmbedding(config)
        positions = torch.empty(config.num_position_embeddings, config.hidden_size)
        self.pos_embed = nn.Embedding.from_pretrained(positions, freeze=False)
        self.blocks = nn.ModuleList([_Block(config) for _ in range(config.depth)])
        self.merger = _Merger(config, norms_merged=False)
        self.deepstack_merger_list = nn.ModuleList(
            [_Merger(config, norms_merged=True) for _ in config.deepstack_visual_indexes]
        )
        self.apply(initialise)

    def encode(
        self, pixels_UP: Tensor, grids_hw: Sequence[tuple[int, int]], *, all_maps: bool
    ) -> list[PrimaryFeatures]:
        """As `VisionTower.encode`. The one map is that of the last block, before the merger's norm."""
        embeds_MD, states_UC, deep_GMD = self(pixels_UP, self.layout(grids_hw, pixels_UP.device))
        merge = self.config.spatial_merge_size
        num_tokens = [rows * columns // merge**2 for rows, columns in grids_hw]
        maps = states_UC.view(-1, merge**2, states_UC.shape[-1]).split(num_tokens)
        deep = deep_GMD.split(num_tokens, dim=1)
        return [
            PrimaryFeatures(embeds_TD, [to_map(maps[image], grids_hw[image], merge)], deep[image])
            for image, embeds_TD in enumerate(embeds_MD.split(num_tokens))
        ]

    def layout(self, grids_hw: Sequence[tuple[int, int]], device: torch.device) -> FullLayout:
        """Where the patches of these images lie, and their positions."""
        config = self.config
        return full_layout(
            grids_hw,
            config.spatial_merge_size,
            config.hidden_size // config.num_heads,
            round(config.num_position_embeddings**0.5),
            corners_meet=True,
            device=device,
        )

    def forward(self, pixels_UP: Tensor, layout: FullLayout) -> tuple[Tensor, Tensor, Tensor]:
        """Image tokens (M, D), the last block's states (U, C), and the deep features (G, M, D)."""
        states_UC = self.patch_embed(pixels_UP)
        states_UC = states_UC + position_embeddings(self.pos_embed.weight, layout)
        depths = self.config.deepstack_visual_indexes
        deep: dict[int, Tensor] = {}
        for index, block in enumerate(self.blocks):
            states_UC = block(states_UC, layout)
            if index in depths:
                deep[index] = self.deepstack_merger_list[depths.index(index)](states_UC)
        embeds_MD = self.merger(states_UC)
        deep_GMD = (
            torch.stack([deep[index] for index in depths])
            if depths
            else embeds_MD.new_empty(0, *embeds_MD.shape)
        )
        return embeds_MD, states_UC, deep_GMD


class _PatchEmbedding(nn.Module):
    """The convolution over single patches as one product."""

    def __init__(self, config: DeepVisionConfig) -> None:
        super().__init__()
        kernel = (config.temporal_patch_size, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(config.in_channels, config.hidden_size, kernel, stride=kernel)

    def forward(self, pixels_UP: Tensor) -> Tensor:
        return linear(pixels_UP, self.proj.weight.flatten(1), self.proj.bias)


class _Block(nn.Module):
    def __init__(self, config: DeepVisionConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=_EPSILON)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=_EPSILON)
        self.attn = _Attention(config)
        self.mlp = _FeedForward(config)

    def forward(self, states_UC: Tensor, layout: FullLayout) -> Tensor:
        states_UC = states_UC + self.attn(self.norm1(states_UC), layout)
        return states_UC + self.mlp(self.norm2(states_UC))


class _Attention(nn.Module):
    def __init__(self, config: DeepVisionConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, normed_UC: Tensor, layout: FullLayout) -> Tensor:
        qkv_U3AE = self.qkv(normed_UC).view(len(normed_UC), 3, self.num_heads, -1)
        queries_UAE, keys_UAE = (
            rotate(qkv_U3AE[:, part].float(), layout.cos, layout.sin).to(normed_UC.dtype) for part in (0, 1)
        )
        return self.proj(attend_within_images(queries_UAE, keys_UAE, qkv_U3AE[:, 2], layout.lengths))


class _FeedForward(nn.Module):
    def __init__(self, config: DeepVisionConfig) -> None:
        super().__init__()
        self.linear_fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.linear_fc2 = nn.Linear(config.intermediate_size, config.hidden_size)
        self.activate = ACTIVATIONS[config.hidden_act]

    def forward(self, states: Tensor) -> Tensor:
        return self.linear_fc2(self.activate(self.linear_fc1(states)))


class _Merger(nn.Module):
    """Turns the 2 x 2 patches of each image token into one vector of the language model's width.

    norms_merged: norm over the joined patches, not over each of them.
    """

    def __init__(self, config: DeepVisionConfig, *, norms_merged: bool) -> None:
        super().__init__()
        self.joined = config.hidden_size * config.spatial_merge_size**2
        self.norms_merged = norms_merged
        self.norm = nn.LayerNorm(self.joined if norms_merged else config.hidden_size, eps=_EPSILON)
        self.linear_fc1 = nn.Linear(self.joined, self.joined)
        self.act_fn = nn.GELU()
        self.linear_fc2 = nn.Linear(self.joined, config.out_hidden_size)

    def forward(self, states_UC: Tensor) -> Tensor:
        if self.norms_merged:
            joined = self.norm(states_UC.view(-1, self.joined))
        else:
            joined = self.norm(states_UC).view(-1, self.joined)
        return self.linear_fc2(self.act_fn(self.linear_fc1(joined)))
