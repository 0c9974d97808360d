"""An image encoded by transformers' own vision towers and torchvision's RoIAlign, with a model's weights.

So a user without this project would do it. What no library has is the model's own: preparation, pyramid,
norms, sine embedding and projections. For checkpoints with the options of the released one: a pyramid, and
the sine embedding of boxes.

Shapes: U patches, C channels, H x W cells, R regions.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.ops import roi_align
from transformers import Florence2VisionConfig
from transformers.models.florence2.modeling_florence2 import Florence2VisionBackbone
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel

from fo1_data.benchmarks.operations import windowed
from fo1_data.model.bases.vision_tower import to_map
from fo1_data.model.modeling import Fo1Model, ImageFeatures
from fo1_data.model.processing import PreparedImage
from fo1_data.model.region_encoder import AUXILIARY_STRIDE_PX


def encode_by_transformers(model: Fo1Model, image: PreparedImage) -> ImageFeatures:
    """What the language model reads of an image with boxes, as `Fo1Model.encode_images` gives it."""
    device, dtype = model.device, model.dtype
    vit, davit = _towers(model)
    rows, columns = image.grid_hw
    out = vit(
        image.patches_on(device).to(dtype),
        grid_thw=torch.tensor([[1, rows, columns]], device=device),
        output_hidden_states=True,
    )
    last = windowed(model.config).fullatt_block_indexes[-1]
    map_1CHW = _map_of(model, out.hidden_states[last + 1], image.grid_hw)
    levels, hidden = [], image.resized.auxiliary.to(device).to(dtype)[None]
    for conv, blocks in zip(davit.convs, davit.blocks, strict=True):
        hidden = conv(hidden)
        for block in blocks:
            hidden = block(hidden)
        levels.append(hidden)
    features_RF = _region_features(model, image, levels, map_1CHW)
    return ImageFeatures(
        model.image_projector(out.pooler_output), model.region_projector(features_RF.to(dtype))
    )


def _map_of(model: Fo1Model, states_UC: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Patches in the order of the ViT's windows as a map (1, C, H, W)."""
    merge = model.config.vision.spatial_merge_size
    order = torch.from_numpy(model.vision_tower.reference_order(grid_hw))
    blocks = states_UC.view(len(order), merge**2, -1)
    raster = torch.empty_like(blocks)
    raster[order.to(blocks.device)] = blocks
    return to_map(raster, grid_hw, merge)


def _region_features(model: Fo1Model, image: PreparedImage, levels: list[Tensor], map_1CHW: Tensor) -> Tensor:
    """Region features (R, F) float32 from the maps of both towers."""
    encoder, finest_hw = model.region_encoder, (levels[0].shape[-2], levels[0].shape[-1])
    aux_boxes, vt_boxes = (boxes.to(model.device) for boxes in (image.aux_boxes, image.vt_boxes))
    upsampled = [interpolate(level, finest_hw, mode="bilinear", align_corners=False) for level in levels]
    auxiliary_RX = _pool(torch.cat(upsampled, dim=1), aux_boxes, 1 / AUXILIARY_STRIDE_PX, model)
    maps = encoder.pyramid([map_1CHW])
    primary_RY = torch.cat(
        [
            _pool(level, vt_boxes, cells / encoder.patch_px, model)
            for level, cells in zip(maps, encoder.cells_per_patch(len(maps)), strict=True)
        ],
        dim=1,
    )
    features_RF = torch.cat(encoder.normalise(auxiliary_RX, primary_RY), dim=-1)
    position_RF = encoder.embed_position(aux_boxes, vt_boxes, finest_hw, image.grid_hw)
    return features_RF if position_RF is None else features_RF + position_RF


def _pool(map_1CHW: Tensor, boxes_R4: Tensor, scale: float, model: Fo1Model) -> Tensor:
    """(R, C) float32."""
    bins = model.config.region.roi_output_size
    pooled: Tensor = roi_align(map_1CHW.float(), [boxes_R4], bins, scale, sampling_ratio=-1, aligned=False)
    return pooled.mean((2, 3))


@lru_cache(maxsize=1)
def _towers(model: Fo1Model) -> tuple[Any, Any]:
    """The ViT and DaViT of a model as transformers' classes, with the same weights, not copies."""
    vision, auxiliary = windowed(model.config), model.config.auxiliary
    names = ["depth", "hidden_size", "intermediate_size", "num_heads", "out_hidden_size", "window_size"]
    names += ["patch_size", "spatial_merge_size", "temporal_patch_size", "in_channels", "hidden_act"]
    settings: dict[str, Any] = {name: getattr(vision, name) for name in names}
    settings["fullatt_block_indexes"] = list(vision.fullatt_block_indexes)
    vit_config = Qwen2_5_VLVisionConfig(**settings)
    names = ["depths", "num_heads", "num_groups"]
    names += ["patch_size", "patch_stride", "patch_padding", "patch_prenorm"]
    settings = {name: list(getattr(auxiliary, name)) for name in names}
    davit_config = Florence2VisionConfig(
        **settings,
        embed_dim=list(auxiliary.dim_embed),
        window_size=auxiliary.window_size,
        drop_path_rate=0.0,
    )
    with torch.device("meta"):
        vit: Any = Qwen2_5_VisionTransformerPretrainedModel(vit_config)
        davit: Any = Florence2VisionBackbone(davit_config)
    vit.rotary_pos_emb = type(vit.rotary_pos_emb)(vit_config)  # on the meta device it has no values
    return _with_weights(vit, model.vision_tower), _with_weights(davit, model.vision_tower_aux)


def _with_weights(tower: nn.Module, source: nn.Module) -> nn.Module:
    tower.load_state_dict(source.state_dict(), assign=True)
    return tower.to(next(source.parameters()).device).eval()
