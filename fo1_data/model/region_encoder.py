"""The hybrid region encoder (HFRE): a feature for each box, from both vision towers.

Boxes are x_min y_min x_max y_max: `aux_boxes` in the pixels of the auxiliary image, `vt_boxes` in the
pixels of the ViT's image. Pooling and norms run in float32, whatever the dtype of the model.
(VLM-FO1, arXiv 2509.25916, section 3: Hybrid Fine-grained Region Encoder.)

Shapes: B images of one size, R boxes of an image, C channels of a map, H x W its cells (the ViT's maps
have its patch grid), X channels of the auxiliary part of a feature (all levels together), Y channels of
the primary part, F = X + Y.
"""

import torch
from torch import Tensor, nn

from fo1_data.model.configuration import Fo1Config
from fo1_data.model.position_embedding import embed_boxes, embed_cells
from fo1_data.model.region_pooling import axis_weights, fold_upsampling, pool, pool_boxes

AUXILIARY_STRIDE_PX = 4


class ChannelLayerNorm(nn.Module):
    """LayerNorm over the channels of a map (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, map_BCHW: Tensor) -> Tensor:
        map_BHWC = map_BCHW.permute(0, 2, 3, 1)
        normed_BHWC = nn.functional.layer_norm(map_BHWC, map_BHWC.shape[-1:], self.weight, self.bias, 1e-6)
        return normed_BHWC.permute(0, 3, 1, 2)


class NormedConv(nn.Conv2d):
    """A convolution without bias, followed by a ChannelLayerNorm (its submodule `norm`)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = ChannelLayerNorm(out_channels)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        return self.norm(super().forward(map_BCHW))


class SimplePyramid(nn.Module):
    """The ViT's last map to four maps of 4, 2, 1 and 1/2 times its grid (ViTDet, Li et al. 2022)."""

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

    def forward(self, map_BCHW: Tensor) -> list[Tensor]:
        if map_BCHW.device.type == "cpu":
            # As the norms leave the maps: no convolution reorders its input. The results are the same.
            map_BCHW = map_BCHW.contiguous(memory_format=torch.channels_last)
        return [level(map_BCHW) for level in (self.simfp_1, self.simfp_2, self.simfp_3, self.simfp_4)]


class RegionEncoder(nn.Module):
    """Turns boxes and the maps of both towers into a feature for each box."""

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

    def pool_auxiliary(self, levels: list[Tensor], aux_boxes_BR4: Tensor) -> Tensor:
        """The auxiliary part of each box's feature, (B, R, X) float32.

        levels: DaViT's maps [(B, C, H, W)], finest first, each with a C, H and W of its own. The result
        equals upsampling all levels to the finest, concatenation, RoIAlign, and the mean over its bins.
        """
        height, width = levels[0].shape[-2:]
        bins, scale = self.region.roi_output_size, 1.0 / AUXILIARY_STRIDE_PX
        weights_BRH = axis_weights(aux_boxes_BR4[..., 1], aux_boxes_BR4[..., 3], height, scale, bins)
        weights_BRW = axis_weights(aux_boxes_BR4[..., 0], aux_boxes_BR4[..., 2], width, scale, bins)
        if self.region.apply_position_embedding and self.region.pos_embedding_strategy != "bbox_based":
            levels = [level + embed_cells(level).to(level.dtype) for level in levels]
        return torch.cat(
            [
                pool(
                    level,
                    fold_upsampling(weights_BRH, level.shape[-2]),
                    fold_upsampling(weights_BRW, level.shape[-1]),
                )
                for level in levels
            ],
            dim=-1,
        )

    def pyramid(self, vit_maps: list[Tensor]) -> list[Tensor]:
        """The maps that the primary part pools, from full-attention maps [(B, C, H, W)] in block order."""
        return self.simple_fpn(vit_maps[-1]) if self.region.use_simple_fpn else vit_maps

    def pool_primary(self, maps: list[Tensor], vt_boxes_BR4: Tensor) -> Tensor:
        """The primary part of each box's feature, (B, R, Y) float32, from the maps of `pyramid`."""
        bins = self.region.roi_output_size
        pooled = []
        for map_BCHW, cells_per_patch in zip(maps, self.cells_per_patch(len(maps)), strict=True):
            pooled.append(pool_boxes(map_BCHW, vt_boxes_BR4, cells_per_patch / self.patch_px, bins))
        return torch.cat(pooled, dim=-1)

    def cells_per_patch(self, num_maps: int) -> list[float]:
        """For each primary map, its cells per ViT patch along a side."""
        return [4.0, 2.0, 1.0, 0.5] if self.region.use_simple_fpn else [1.0] * num_maps

    def normalise(self, auxiliary_BRX: Tensor, primary_BRY: Tensor) -> tuple[Tensor, Tensor]:
        """LayerNorm on each part if the checkpoint has it; float32 in, float32 out."""
        if not self.region.apply_region_layer_norm:
            return auxiliary_BRX, primary_BRY
        return _float_norm(self.aux_region_norm, auxiliary_BRX), _float_norm(self.vt_region_norm, primary_BRY)

    def embed_position(
        self,
        aux_boxes_BR4: Tensor,
        vt_boxes_BR4: Tensor,
        aux_map_hw: tuple[int, int],
        grid_hw: tuple[int, int],
    ) -> Tensor | None:
        """The sine embedding of the boxes, (B, R, F), or None if the checkpoint adds none.

        Boxes are normalised by the size of the ViT's image, with `concat_aux_pos` by the size in pixels
        that the cells of the auxiliary map cover.
        """
        if (
            not self.region.apply_position_embedding
            or self.region.pos_embedding_strategy == "feature_map_based"
        ):
            return None
        if self.region.region_feature_combination == "concat_aux_pos":
            height, width = (cells * AUXILIARY_STRIDE_PX for cells in aux_map_hw)
            return embed_boxes(aux_boxes_BR4, (height, width), self.width)
        height, width = (cells * self.patch_px for cells in grid_hw)
        return embed_boxes(vt_boxes_BR4, (height, width), self.width)

    def forward(
        self, levels: list[Tensor], vit_maps: list[Tensor], aux_boxes_BR4: Tensor, vt_boxes_BR4: Tensor
    ) -> Tensor:
        """Region features (B, R, F) float32, before the projection to the language model's width.

        levels: DaViT's maps, finest first. vit_maps: the ViT's full-attention maps in block order; the
        pyramid uses the last.
        """
        grid_hw = (vit_maps[-1].shape[-2], vit_maps[-1].shape[-1])
        auxiliary_BRX = self.pool_auxiliary(levels, aux_boxes_BR4)
        primary_BRY = self.pool_primary(self.pyramid(vit_maps), vt_boxes_BR4)
        features_BRF = torch.cat(self.normalise(auxiliary_BRX, primary_BRY), dim=-1)
        aux_map_hw = (levels[0].shape[-2], levels[0].shape[-1])
        position_BRF = self.embed_position(aux_boxes_BR4, vt_boxes_BR4, aux_map_hw, grid_hw)
        return features_BRF if position_BRF is None else features_BRF + position_BRF


def _float_norm(norm: nn.LayerNorm, features: Tensor) -> Tensor:
    weight, bias = norm.weight.float(), norm.bias.float()
    return nn.functional.layer_norm(features.float(), norm.normalized_shape, weight, bias, norm.eps)
