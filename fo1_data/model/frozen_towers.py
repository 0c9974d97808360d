"""The parts of both towers that a training leaves as they are, and what follows them, for one image.

Shapes: T image tokens, R regions, D language model width, C channels, H x W cells, G layers that take
deep features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fo1_data.model.modeling import Fo1Model, ImageFeatures
from fo1_data.model.processing import PreparedImage


@dataclass(frozen=True)
class FrozenFeatures:
    """What the base's tower and the first stages of DaViT give for an image.

    image_embeds: (T, D). maps: the tower's maps that regions need, (1, C, H, W) each. levels: DaViT's maps
    after each of its frozen stages, (1, C, H, W) each. deep_GTD: as in `PrimaryFeatures`.
    """

    image_embeds: Tensor
    maps: list[Tensor]
    levels: list[Tensor]
    deep_GTD: Tensor | None = None

    @property
    def num_bytes(self) -> int:
        """The size of all tensors."""
        deep = () if self.deep_GTD is None else (self.deep_GTD,)
        return sum(tensor.nbytes for tensor in (self.image_embeds, *self.maps, *self.levels, *deep))


@torch.no_grad()
def run_frozen(model: Fo1Model, image: PreparedImage, num_stages: int) -> FrozenFeatures:
    """Run the base's tower and the first `num_stages` stages of DaViT, which are at least one."""
    device, dtype = model.device, model.dtype
    (primary,) = model.vision_tower.encode(
        image.patches_on(device).to(dtype),
        [image.grid_hw],
        all_maps=not model.config.region.use_simple_fpn,
    )
    pixels_13HW = image.resized.auxiliary.to(device)[None].to(dtype)
    levels = model.vision_tower_aux.run_stages(pixels_13HW, range(num_stages))
    return FrozenFeatures(primary.image_embeds, primary.maps, levels, primary.deep_GTD)


def finish(model: Fo1Model, frozen: FrozenFeatures, image: PreparedImage) -> ImageFeatures:
    """What the language model reads, as of `Fo1Model.encode_images`. Of `image` only the boxes count."""
    device, dtype = model.device, model.dtype
    image_embeds_TD = model.image_projector(frozen.image_embeds.to(device))
    deep_GTD = None if frozen.deep_GTD is None else frozen.deep_GTD.to(device)
    if not len(image.aux_boxes):
        return ImageFeatures(
            image_embeds_TD, image_embeds_TD.new_empty(0, image_embeds_TD.shape[1]), deep_GTD
        )
    levels = [level.to(device) for level in frozen.levels]
    num_stages = len(model.vision_tower_aux.convs)
    levels += model.vision_tower_aux.run_stages(levels[-1], range(len(levels), num_stages))
    maps = [level.to(device) for level in frozen.maps]
    boxes = (image.aux_boxes[None].to(device), image.vt_boxes[None].to(device))
    (features_RF,) = model.region_encoder(levels, maps, *boxes)
    return ImageFeatures(image_embeds_TD, model.region_projector(features_RF.to(dtype)), deep_GTD)
