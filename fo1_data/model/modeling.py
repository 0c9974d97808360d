"""VLM-FO1: two vision encoders, the hybrid region encoder, and a language model that reads regions.

Shapes: B images of one size, R regions of an image, T image tokens of an image, D language model width,
V vocabulary, F channels of a region feature, C x H x W a feature map, G layers that take deep features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fo1_data.model.bases.vision_tower import group_by_size
from fo1_data.model.configuration import Fo1Config
from fo1_data.model.davit import DaViT
from fo1_data.model.decoder import Decoder
from fo1_data.model.processing import PreparedImage
from fo1_data.model.region_encoder import RegionEncoder


@dataclass(frozen=True)
class ImageFeatures:
    """An image as the language model reads it: image_embeds (T, D) and region_embeds (R, D).

    deep_GTD: what its first G layers add at the image's tokens; None: nothing.
    """

    image_embeds: Tensor
    region_embeds: Tensor
    deep_GTD: Tensor | None = None

    def chunk(self, start: int, stop: int) -> "ImageFeatures":
        """The same image with only the regions from `start` up to `stop`."""
        return ImageFeatures(self.image_embeds, self.region_embeds[start:stop], self.deep_GTD)


class Fo1Model(nn.Module):
    """The whole model. Inference and training share `encode_images`."""

    def __init__(self, config: Fo1Config) -> None:
        super().__init__()
        self.config = config
        width = config.text.hidden_size
        self.vision_tower = config.base.build_tower(config.vision)
        self.vision_tower_aux = DaViT(config.auxiliary)
        self.region_encoder = RegionEncoder(config)
        self.image_projector = _projector(config.region.projector_type, config.vision.out_hidden_size, width)
        self.region_projector = region_projector(config)
        self.language_model = Decoder(config.text)
        if not config.text.tie_word_embeddings:
            self.lm_head = nn.Linear(width, config.text.vocab_size, bias=False)

    @property
    def device(self) -> torch.device:
        return self.language_model.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.language_model.norm.weight.dtype

    @property
    def head_VD(self) -> Tensor:
        """The weight that turns decoder states after the final norm into logits, (V, D)."""
        head = self.language_model.embed_tokens if self.config.text.tie_word_embeddings else self.lm_head
        return head.weight

    def logits(self, states: Tensor) -> Tensor:
        """Decoder states (..., D) after the final norm to logits (..., V) in the model's dtype."""
        return nn.functional.linear(states, self.head_VD)

    def embed_tokens(self, ids: Tensor) -> Tensor:
        """Token ids (...) to embeddings (..., D)."""
        return self.language_model.embed_tokens(ids)

    def encode_images(self, images: list[PreparedImage]) -> list[ImageFeatures]:
        """Encode images of any sizes, with any number of boxes, to what the language model reads.

        The base's tower takes all images as one packed sequence; DaViT and the region encoder take the
        images of one size together.
        """
        device, dtype = self.device, self.dtype
        pixels = torch.cat([image.patches_on(device).to(dtype) for image in images])
        primary = self.vision_tower.encode(
            pixels, [image.grid_hw for image in images], all_maps=not self.config.region.use_simple_fpn
        )
        no_regions = torch.empty(0, self.config.text.hidden_size, device=device, dtype=dtype)
        regions = [no_regions] * len(images)
        with_boxes = [index for index, image in enumerate(images) if len(image.aux_boxes)]
        for members in group_by_size([images[index].size for index in with_boxes]).values():
            indices = [with_boxes[member] for member in members]
            maps = [torch.cat(level) for level in zip(*(primary[i].maps for i in indices), strict=True)]
            features = self._region_features([images[i] for i in indices], maps)
            embeds = self.region_projector(torch.cat(features).to(dtype)).split(
                [len(part) for part in features]
            )
            for index, embeds_RD in zip(indices, embeds, strict=True):
                regions[index] = embeds_RD
        return [
            ImageFeatures(self.image_projector(image.image_embeds), embeds_RD, image.deep_GTD)
            for image, embeds_RD in zip(primary, regions, strict=True)
        ]

    def _region_features(self, images: list[PreparedImage], maps: list[Tensor]) -> list[Tensor]:
        """Region features (R, F) of each of the images, which have one size; maps: (B, C, H, W) each.

        Box lists are padded to the longest.
        """
        device, dtype = self.device, self.dtype
        images_B3HW = torch.stack([image.resized.auxiliary.to(device).to(dtype) for image in images])
        levels = self.vision_tower_aux(images_B3HW)
        pad = nn.utils.rnn.pad_sequence
        aux_boxes_BR4 = pad([image.aux_boxes for image in images], batch_first=True).to(device)
        vt_boxes_BR4 = pad([image.vt_boxes for image in images], batch_first=True).to(device)
        features_BRF = self.region_encoder(levels, maps, aux_boxes_BR4, vt_boxes_BR4)
        return [
            features_RF[: len(image.aux_boxes)]
            for features_RF, image in zip(features_BRF, images, strict=True)
        ]


def region_projector(config: Fo1Config) -> nn.Module:
    """A new projector of region features to the width of the language model."""
    return _projector(config.region.projector_aux_type, config.region_width, config.text.hidden_size)


def _projector(kind: str, width_in: int, width_out: int) -> nn.Module:
    if kind == "identity":
        return nn.Identity()
    if kind == "linear":
        return nn.Linear(width_in, width_out)
    return nn.Sequential(nn.Linear(width_in, width_out), nn.GELU(), nn.Linear(width_out, width_out))
