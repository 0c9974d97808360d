"""PaddleOCR-VL's vision tower (arXiv 2510.14528): a SigLIP-like ViT for any sizes, and its projector.

Shapes: U patches of all images, M all image tokens, P values of a patch, C channels, D language model width,
A heads, E head width.
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
from fo1_data.model.bases.paddleocr_vl import SquareVisionConfig
from fo1_data.model.bases.vision_tower import PrimaryFeatures, VisionTower, to_map
from fo1_data.model.layers import ACTIVATIONS, initialise
from fo1_data.model.rotary import rotate

_PROJECTOR_EPSILON = 1e-5


class ProjectedVisionTransformer(VisionTower):
    """The ViT, and the projector of 2 x 2 patches to the language model's width."""

    def __init__(self, config: SquareVisionConfig) -> None:
        super().__init__(config)
        self.vision_model = _VisionModel(config)
        self.projector = _Projector(config)
        self.apply(initialise)

    def encode(
        self, pixels_UP: Tensor, grids_hw: Sequence[tuple[int, int]], *, all_maps: bool
    ) -> list[PrimaryFeatures]:
        """As `VisionTower.encode`. The one map is that of the last block after the final norm."""
        states_UC = self.vision_model(pixels_UP, self.layout(grids_hw, pixels_UP.device))
        merge = self.config.spatial_merge_size
        num_tokens = [rows * columns // merge**2 for rows, columns in grids_hw]
        embeds = self.projector(states_UC).split(num_tokens)
        maps = states_UC.view(-1, merge**2, states_UC.shape[-1]).split(num_tokens)
        return [
            PrimaryFeatures(embeds[image], [to_map(maps[image], grid_hw, merge)])
            for image, grid_hw in enumerate(grids_hw)
        ]

    def layout(self, grids_hw: Sequence[tuple[int, int]], device: torch.device) -> FullLayout:
        """Where the patches of these images lie, and their positions."""
        config = self.config
        return full_layout(
            grids_hw,
            config.spatial_merge_size,
            config.hidden_size // config.num_heads,
            config.image_size // config.patch_size,
            corners_meet=False,
            device=device,
        )


class _VisionModel(nn.Module):
    def __init__(self, config: SquareVisionConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.encoder = _Encoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, pixels_UP: Tensor, layout: FullLayout) -> Tensor:
        """The states (U, C) after the final norm."""
        states_UC = self.embeddings(pixels_UP, layout)
        for layer in self.encoder.layers:
            states_UC = layer(states_UC, layout)
        return self.post_layernorm(states_UC)


class _Embeddings(nn.Module):
    """The convolution over single patches as one product, and the learnt positions."""

    def __init__(self, config: SquareVisionConfig) -> None:
        super().__init__()
        side, patch = config.image_size // config.patch_size, config.patch_size
        self.patch_embedding = nn.Conv2d(config.in_channels, config.hidden_size, patch, stride=patch)
        positions = torch.empty(side**2, config.hidden_size)
        self.position_embedding = nn.Embedding.from_pretrained(positions, freeze=False)

    def forward(self, pixels_UP: Tensor, layout: FullLayout) -> Tensor:
        patches_UC = linear(pixels_UP, self.patch_embedding.weight.flatten(1), self.patch_embedding.bias)
        return patches_UC + position_embeddings(self.position_embedding.weight, layout)


class _Encoder(nn.Module):
    def __init__(self, config: SquareVisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList([_Layer(config) for _ in range(config.depth)])


class _Layer(nn.Module):
    def __init__(self, config: SquareVisionConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = _Attention(config)
        self.mlp = _FeedForward(config)

    def forward(self, states_UC: Tensor, layout: FullLayout) -> Tensor:
        states_UC = states_UC + self.self_attn(self.layer_norm1(states_UC), layout)
        return states_UC + self.mlp(self.layer_norm2(states_UC))


class _Attention(nn.Module):
    def __init__(self, config: SquareVisionConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_heads = config.num_heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width) for _ in range(3))
        self.out_proj = nn.Linear(width, width)

    def forward(self, normed_UC: Tensor, layout: FullLayout) -> Tensor:
        queries_UAE, keys_UAE, values_UAE = (
            project(normed_UC).view(len(normed_UC), self.num_heads, -1)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        queries_UAE, keys_UAE = (
            rotate(part.float(), layout.cos, layout.sin).to(normed_UC.dtype)
            for part in (queries_UAE, keys_UAE)
        )
        return self.out_proj(attend_within_images(queries_UAE, keys_UAE, values_UAE, layout.lengths))


class _FeedForward(nn.Module):
    def __init__(self, config: SquareVisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)
        self.activate = ACTIVATIONS[config.hidden_act]

    def forward(self, states: Tensor) -> Tensor:
        return self.fc2(self.activate(self.fc1(states)))


class _Projector(nn.Module):
    """Turns the 2 x 2 patches of each image token into one vector of the language model's width."""

    def __init__(self, config: SquareVisionConfig) -> None:
        super().__init__()
        joined = config.hidden_size * config.spatial_merge_size**2
        self.pre_norm = nn.LayerNorm(config.hidden_size, eps=_PROJECTOR_EPSILON)
        self.linear_1 = nn.Linear(joined, joined)
        self.act = nn.GELU()
        self.linear_2 = nn.Linear(joined, config.out_hidden_size)

    def forward(self, states_UC: Tensor) -> Tensor:
        joined = self.pre_norm(states_UC).view(-1, self.linear_1.in_features)
        return self.linear_2(self.act(self.linear_1(joined)))
