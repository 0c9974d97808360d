"""VLM-FO1: two vision encoders, the hybrid region encoder, and a language model that reads regions.

Shapes: D language model width, T image tokens of an image, R boxes of an image, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fo1_data.model.configuration import Fo1Config
from fo1_data.model.decoder import build_decoder
from fo1_data.model.processing import PreparedImage
from fo1_data.model.region_encoder import RegionEncoder
from fo1_data.model.vision_towers import (
    build_auxiliary,
    build_primary,
    encode_auxiliary,
    encode_primary,
    group_by_size,
)


@dataclass(frozen=True)
class ImageFeatures:
    """What the language model reads of an image: image_embeds (T, D), region_embeds (R, D)."""

    image_embeds: Tensor
    region_embeds: Tensor

    def chunk(self, start: int, stop: int) -> "ImageFeatures":
        """The same image with the regions `start` to `stop` alone."""
        return ImageFeatures(self.image_embeds, self.region_embeds[start:stop])


class Fo1Model(nn.Module):
    """The whole model. Inference and training call the same `encode_images`."""

    def __init__(self, config: Fo1Config) -> None:
        super().__init__()
        self.config = config
        width = config.text.hidden_size
        self.vision_tower = build_primary(config.vision)
        self.vision_tower_aux = build_auxiliary(config.auxiliary)
        self.region_encoder = RegionEncoder(config)
        self.image_projector = _projector(config.region.projector_type, config.vision.out_hidden_size, width)
        self.region_projector = _projector(config.region.projector_aux_type, config.region_width, width)
        self.language_model = build_decoder(config.text)
        if not config.text.tie_word_embeddings:
            self.lm_head = nn.Linear(width, config.text.vocab_size, bias=False)

    @property
    def device(self) -> torch.device:
        return self.language_model.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.language_model.norm.weight.dtype

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) normed states to (..., V) logits in the model's dtype."""
        head = self.language_model.embed_tokens if self.config.text.tie_word_embeddings else self.lm_head
        return nn.functional.linear(hidden, head.weight)

    def embed_tokens(self, ids: Tensor) -> Tensor:
        """(...) token ids to (..., D) embeddings."""
        return self.language_model.embed_tokens(ids)

    def encode_images(self, images: list[PreparedImage]) -> list[ImageFeatures]:
        """Both towers and the region encoder over images of any sizes with any number of boxes.

        The ViT takes all as one packed sequence; DaViT and pooling take images of one size together.
        """
        device, dtype = self.device, self.dtype
        grid = torch.tensor([[1, *image.grid_hw] for image in images], device=device)
        pixels = torch.cat([image.pixel_values for image in images]).to(device, dtype)
        primary = encode_primary(
            self.vision_tower, pixels, grid, all_maps=not self.config.region.use_simple_fpn
        )
        regions: list[Tensor] = [
            torch.empty(0, self.config.text.hidden_size, device=device, dtype=dtype)
        ] * len(images)
        with_boxes = [index for index, image in enumerate(images) if len(image.aux_boxes)]
        sizes = [(*images[i].aux_image.shape[-2:], *images[i].grid_hw) for i in with_boxes]
        for members in group_by_size(sizes).values():
            chosen = [with_boxes[member] for member in members]
            maps = [torch.cat(level) for level in zip(*(primary[i].maps for i in chosen), strict=True)]
            features = self._region_features([images[i] for i in chosen], maps)
            for index, feature in zip(chosen, features, strict=True):
                regions[index] = self.region_projector(feature.to(dtype))
        return [
            ImageFeatures(self.image_projector(one.image_embeds), region)
            for one, region in zip(primary, regions, strict=True)
        ]

    def _region_features(self, images: list[PreparedImage], maps: list[Tensor]) -> list[Tensor]:
        """Region features (R_i, Ca + Cv) of images of one size; boxes are padded to the longest list."""
        device, dtype = self.device, self.dtype
        levels = encode_auxiliary(
            self.vision_tower_aux, torch.stack([i.aux_image for i in images]).to(device, dtype)
        )
        aux_boxes = nn.utils.rnn.pad_sequence([i.aux_boxes for i in images], batch_first=True).to(device)
        vt_boxes = nn.utils.rnn.pad_sequence([i.vt_boxes for i in images], batch_first=True).to(device)
        features = self.region_encoder(levels, maps, aux_boxes, vt_boxes)
        return [feature[: len(image.aux_boxes)] for feature, image in zip(features, images, strict=True)]


def _projector(kind: str, width_in: int, width_out: int) -> nn.Module:
    if kind == "identity":
        return nn.Identity()
    if kind == "linear":
        return nn.Linear(width_in, width_out)
    return nn.Sequential(nn.Linear(width_in, width_out), nn.GELU(), nn.Linear(width_out, width_out))
