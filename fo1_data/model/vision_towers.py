"""The two vision encoders, built from transformers' modules: the ViT (primary) and DaViT (auxiliary).

The ViT takes images of any sizes in one pass, DaViT images of one size.

Shapes: B images, U patches of all images of a call together, T image tokens of an image (one for each
2 x 2 patches), D language model width, C channels of a map, H x W its cells or an image's pixels (the
ViT's maps have its patch grid). `sum T` runs over the images of a call. grid_thw: (B, 3), the (time, rows,
columns) of each image's patch grid; time is 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Florence2VisionConfig
from transformers.models.florence2.modeling_florence2 import Florence2VisionBackbone
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel
from transformers.vision_utils import get_vision_window_index

from fo1_data.model.configuration import AuxiliaryConfig, VisionConfig


def build_primary(config: VisionConfig) -> Qwen2_5_VisionTransformerPretrainedModel:
    """Qwen2.5-VL's ViT with random weights."""
    settings = Qwen2_5_VLVisionConfig(
        depth=config.depth,
        hidden_size=config.hidden_size,
        hidden_act=config.hidden_act,
        intermediate_size=config.intermediate_size,
        num_heads=config.num_heads,
        in_channels=config.in_channels,
        patch_size=config.patch_size,
        spatial_merge_size=config.spatial_merge_size,
        temporal_patch_size=config.temporal_patch_size,
        tokens_per_second=config.tokens_per_second,
        window_size=config.window_size,
        out_hidden_size=config.out_hidden_size,
        fullatt_block_indexes=list(config.fullatt_block_indexes),
    )
    vit = Qwen2_5_VisionTransformerPretrainedModel._from_config(settings)
    vit.patch_embed = PatchEmbedding(vit.patch_embed.proj)
    return vit


class PatchEmbedding(nn.Module):
    """The ViT's patch embedding as one product, with the weights of its convolution.

    The kernel covers a whole patch, so each output is one inner product; a convolution over single patches
    takes four times as long on a CPU.
    """

    def __init__(self, proj: nn.Module) -> None:
        super().__init__()
        self.proj = proj

    def forward(self, pixels_UP: Tensor) -> Tensor:
        """pixels_UP: the values of each patch. Returns (U, C)."""
        weight: Any = self.proj.weight
        return nn.functional.linear(pixels_UP.to(weight.dtype), weight.flatten(1))


def build_auxiliary(config: AuxiliaryConfig) -> Florence2VisionBackbone:
    """DaViT with random weights, without stochastic depth."""
    settings = Florence2VisionConfig(
        depths=list(config.depths),
        patch_size=list(config.patch_size),
        patch_stride=list(config.patch_stride),
        patch_padding=list(config.patch_padding),
        patch_prenorm=list(config.patch_prenorm),
        embed_dim=list(config.dim_embed),
        num_heads=list(config.num_heads),
        num_groups=list(config.num_groups),
        window_size=config.window_size,
        drop_path_rate=0.0,
    )
    return Florence2VisionBackbone._from_config(settings)


@dataclass(frozen=True)
class PrimaryFeatures:
    """The ViT's output for one image.

    image_embeds: (T, D) in raster order. maps: (1, C, H, W) after the full-attention blocks, in block
    order. merged_windowed: image_embeds in the ViT's own window order.
    """

    image_embeds: Tensor
    maps: list[Tensor]
    merged_windowed: Tensor


def encode_primary(
    vit: Qwen2_5_VisionTransformerPretrainedModel, pixel_values: Tensor, grid_thw: Tensor, *, all_maps: bool
) -> list[PrimaryFeatures]:
    """Run the ViT over several images packed into one sequence.

    pixel_values: (U, 3 * 2 * patch * patch). all_maps: keep the map of every full-attention block, which
    regions need if the checkpoint has no pyramid; otherwise keep only the last.
    """
    blocks = list(vit.fullatt_block_indexes) if all_maps else list(vit.fullatt_block_indexes)[-1:]
    only_last = blocks == [len(vit.blocks) - 1]
    out = vit(pixel_values, grid_thw=grid_thw, output_hidden_states=not only_last)
    states = [out.last_hidden_state] if only_last else [out.hidden_states[block + 1] for block in blocks]
    order = _window_order(vit, grid_thw)
    num_tokens = (grid_thw[:, 1] * grid_thw[:, 2] // vit.spatial_merge_size**2).tolist()
    per_image = zip(
        out.pooler_output.split(num_tokens),
        order.split(num_tokens),
        zip(*(_to_maps(state, order, grid_thw, vit.spatial_merge_size) for state in states), strict=True),
        strict=True,
    )
    features, offset = [], 0
    for embeds_TD, order_T, maps in per_image:
        features.append(PrimaryFeatures(embeds_TD, list(maps), embeds_TD[order_T - offset]))
        offset += len(embeds_TD)
    return features


def _window_order(vit: Qwen2_5_VisionTransformerPretrainedModel, grid_thw: Tensor) -> Tensor:
    """(sum T,) raster index of each image token in the ViT's window order; images stay in order."""
    order, _ = get_vision_window_index(
        grid_thw,
        spatial_merge_size=vit.spatial_merge_size,
        window_size=vit.window_size,
        patch_size=int(vit.patch_size),  # type: ignore[arg-type]
    )
    return torch.as_tensor(order, device=grid_thw.device)


def _to_maps(states_UC: Tensor, order: Tensor, grid_thw: Tensor, merge: int) -> list[Tensor]:
    """States in window order to a map (1, C, H, W) for each image. order: (sum T,)."""
    width = states_UC.shape[-1]
    blocks = states_UC.view(-1, merge * merge, width)
    raster = torch.empty_like(blocks)
    raster[order] = blocks
    maps, offset = [], 0
    for _, rows, columns in grid_thw.tolist():
        count = rows * columns // merge**2
        grid = raster[offset : offset + count].view(rows // merge, columns // merge, merge, merge, width)
        maps.append(grid.permute(4, 0, 2, 1, 3).reshape(1, width, rows, columns))
        offset += count
    return maps


def encode_auxiliary(davit: Florence2VisionBackbone, images_B3HW: Tensor) -> list[Tensor]:
    """Run DaViT over images of one size; returns its four maps [(B, C, H, W)], finest first.

    Windows are zero-padded and the padding takes part in the attention, as in the reference. So images
    of different sizes must not be padded into one batch.
    """
    levels: list[Tensor] = []
    convs: Any = davit.convs
    blocks_of_stages: Any = davit.blocks
    hidden = images_B3HW.to(convs[0].conv.weight.dtype)
    for conv, blocks in zip(convs, blocks_of_stages, strict=True):
        hidden = conv(hidden)
        for block in blocks:
            hidden = block(hidden)
        levels.append(hidden)
    return levels


def group_by_size(sizes: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], list[int]]:
    """Group the indices of equal sizes, in order of first appearance."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, size in enumerate(sizes):
        groups.setdefault(size, []).append(index)
    return groups
