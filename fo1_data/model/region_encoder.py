"""The hybrid region encoder (HFRE): one feature per box from both vision towers.

Shapes: B images of one size, R boxes an image, Ca channels of all auxiliary levels together, Cv of
the primary part, gh x gw the ViT's patch grid. Boxes are x_min y_min x_max y_max, each part's in
the pixels of its own image. Pooling and norms run in float32 whatever the model's dtype.
(VLM-FO1, arXiv 2509.25916, section 3: Hybrid Fine-grained Region Encoder.)
"""

import torch
from torch import Tensor, nn

from fo1_data.model.configuration import Fo1Config
from fo1_data.model.position_embedding import embed_boxes, embed_cells
from fo1_data.model.region_pooling import axis_weights, fold_upsampling, pool, pool_boxes

AUXILIARY_STRIDE_PX = 4


class ChannelLayerNorm(nn.Module):
    """LayerNorm over the channels of a (B, C, H, W) map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        moved = features.permute(0, 2, 3, 1)
        return nn.functional.layer_norm(moved, moved.shape[-1:], self.weight, self.bias, 1e-6).permute(
            0, 3, 1, 2
        )


class NormedConv(nn.Conv2d):
    """A convolution without bias, then a channel LayerNorm; the norm is its submodule `norm`."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = ChannelLayerNorm(out_channels)

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(super().forward(features))


class SimplePyramid(nn.Module):
    """Four maps at 4, 2, 1 and 1/2 times the ViT's grid from its last map (ViTDet, Li et al. 2022)."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        half, quarter = width // 2, width // 4
        self.simfp_1 = nn.Sequential(
            nn.ConvTranspose2d(width, half, 2, 2),
            ChannelLayerNorm(half),
            nn.GELU(),
            nn.ConvTranspose2d(half, quarter, 2, 2),
            NormedConv(quarter, channels, 1),
            NormedConv(channels, channels, 3),
        )
        self.simfp_2 = nn.Sequential(
            nn.ConvTranspose2d(width, half, 2, 2),
            NormedConv(half, channels, 1),
            NormedConv(channels, channels, 3),
        )
        self.simfp_3 = nn.Sequential(NormedConv(width, channels, 1), NormedConv(channels, channels, 3))
        self.simfp_4 = nn.Sequential(
            nn.MaxPool2d(2, 2), NormedConv(width, channels, 1), NormedConv(channels, channels, 3)
        )

    def forward(self, features: Tensor) -> list[Tensor]:
        return [level(features) for level in (self.simfp_1, self.simfp_2, self.simfp_3, self.simfp_4)]


class RegionEncoder(nn.Module):
    """Boxes and both towers' maps to one feature a box, (B, R, Ca + Cv)."""

    def __init__(self, config: Fo1Config) -> None:
        super().__init__()
        self.region = config.region
        self.width = config.region_width
        self.patch_px = config.vision.patch_size
        if config.region.use_simple_fpn:
            self.simple_fpn = SimplePyramid(config.vision.hidden_size, config.region.fpn_channels)
        if config.region.apply_region_layer_norm:
            self.vt_region_norm = nn.LayerNorm(config.primary_width)
            self.aux_region_norm = nn.LayerNorm(config.auxiliary_width)

    def pool_auxiliary(self, levels: list[Tensor], aux_boxes: Tensor) -> Tensor:
        """DaViT levels [(B, C_l, H_l, W_l)], finest first, and (B, R, 4) boxes to (B, R, Ca) float32.

        Equal to upsampling all levels to the finest, concatenating, RoIAlign and the mean.
        """
        height, width = levels[0].shape[-2:]
        bins, scale = self.region.roi_output_size, 1.0 / AUXILIARY_STRIDE_PX
        weights_y = axis_weights(aux_boxes[..., 1], aux_boxes[..., 3], height, scale, bins)
        weights_x = axis_weights(aux_boxes[..., 0], aux_boxes[..., 2], width, scale, bins)
        if self.region.apply_position_embedding and self.region.pos_embedding_strategy != "bbox_based":
            levels = [level + embed_cells(level).to(level.dtype) for level in levels]
        return torch.cat(
            [
                pool(
                    level,
                    fold_upsampling(weights_y, level.shape[-2]),
                    fold_upsampling(weights_x, level.shape[-1]),
                )
                for level in levels
            ],
            dim=-1,
        )

    def pyramid(self, vit_maps: list[Tensor]) -> list[Tensor]:
        """The primary part's maps from the ViT's full-attention maps [(B, Cw, gh, gw)], last one last."""
        return self.simple_fpn(vit_maps[-1]) if self.region.use_simple_fpn else vit_maps

    def pool_primary(self, maps: list[Tensor], vt_boxes: Tensor) -> Tensor:
        """Pyramid maps and (B, R, 4) boxes in the ViT image's pixels to (B, R, Cv) float32."""
        bins = self.region.roi_output_size
        pooled = []
        for features, factor in zip(maps, self._factors(len(maps)), strict=True):
            pooled.append(pool_boxes(features, vt_boxes, factor / self.patch_px, bins))
        return torch.cat(pooled, dim=-1)

    def _factors(self, count: int) -> list[float]:
        """Each primary map's cells per ViT patch along a side."""
        return [4.0, 2.0, 1.0, 0.5] if self.region.use_simple_fpn else [1.0] * count

    def normalise(self, auxiliary: Tensor, primary: Tensor) -> tuple[Tensor, Tensor]:
        """LayerNorm on each part where the checkpoint has it; float32 in, float32 out."""
        if not self.region.apply_region_layer_norm:
            return auxiliary, primary
        return _float_norm(self.aux_region_norm, auxiliary), _float_norm(self.vt_region_norm, primary)

    def embed_position(
        self, aux_boxes: Tensor, vt_boxes: Tensor, aux_map_hw: tuple[int, int], grid_hw: tuple[int, int]
    ) -> Tensor | None:
        """The boxes' sine embedding (B, R, Ca + Cv), or None where the checkpoint adds none.

        Normalised by the ViT image's size; with `concat_aux_pos` by the auxiliary map's size in pixels.
        """
        if (
            not self.region.apply_position_embedding
            or self.region.pos_embedding_strategy == "feature_map_based"
        ):
            return None
        if self.region.region_feature_combination == "concat_aux_pos":
            height, width = (cells * AUXILIARY_STRIDE_PX for cells in aux_map_hw)
            return embed_boxes(aux_boxes, (height, width), self.width)
        height, width = (cells * self.patch_px for cells in grid_hw)
        return embed_boxes(vt_boxes, (height, width), self.width)

    def forward(
        self, levels: list[Tensor], vit_maps: list[Tensor], aux_boxes: Tensor, vt_boxes: Tensor
    ) -> Tensor:
        """Region features (B, R, Ca + Cv) float32, before the projection.

        levels: DaViT maps, finest first; vit_maps: full-attention ViT maps (the pyramid uses the
        last); aux_boxes, vt_boxes: (B, R, 4) in the pixels of the auxiliary and the ViT image.
        """
        grid_hw = (vit_maps[-1].shape[-2], vit_maps[-1].shape[-1])
        auxiliary = self.pool_auxiliary(levels, aux_boxes)
        primary = self.pool_primary(self.pyramid(vit_maps), vt_boxes)
        features = torch.cat(self.normalise(auxiliary, primary), dim=-1)
        position = self.embed_position(
            aux_boxes, vt_boxes, (levels[0].shape[-2], levels[0].shape[-1]), grid_hw
        )
        return features if position is None else features + position


def _float_norm(norm: nn.LayerNorm, features: Tensor) -> Tensor:
    weight, bias = norm.weight.float(), norm.bias.float()
    return nn.functional.layer_norm(features.float(), norm.normalized_shape, weight, bias, norm.eps)
