"""Prompt ids and features to the sequence that the language model reads.

Shapes: L prompt ids, P sequence length once the image is spread out, T image tokens, R regions,
D width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fo1_data.model.modeling import Fo1Model, ImageFeatures
from fo1_data.model.prompts import IMAGE_PLACEHOLDER, REGION_PLACEHOLDER
from fo1_data.model.rotary import image_positions, text_positions


@dataclass(frozen=True)
class PromptEmbeds:
    """embeds: (P, D) in the model's dtype; positions: (3, P) int64, on the CPU.

    region_places: the row of `embeds` that is each region's feature.
    """

    embeds: Tensor
    positions: Tensor
    region_places: tuple[int, ...] = ()

    @property
    def next_position(self) -> int:
        """The position that text after this prompt goes on from."""
        return int(self.positions.max()) + 1 if self.positions.numel() else 0


def embed_prompt(
    model: Fo1Model, ids: list[int], encoded: ImageFeatures | None, grid_hw: tuple[int, int] | None
) -> PromptEmbeds:
    """Put an image's T rows at its placeholder and each region's row at its own, in order.

    `grid_hw`: the ViT's patches (gh, gw); T = gh * gw / merge^2. Raises ValueError, with both
    numbers, where placeholders and features differ in count.
    """
    num_images, num_regions = ids.count(IMAGE_PLACEHOLDER), ids.count(REGION_PLACEHOLDER)
    given_regions = len(encoded.region_embeds) if encoded else 0
    if num_images != (encoded is not None) or num_regions != given_regions:
        raise ValueError(
            f"the prompt has {num_images} image and {num_regions} region placeholders, "
            f"features were given for {int(encoded is not None)} and {given_regions}"
        )
    merge = model.config.vision.spatial_merge_size
    device = model.device
    rows: list[Tensor] = []
    positions: list[Tensor] = []
    text: list[int] = []
    places: list[int] = []
    start, filled = 0, 0

    def flush_text() -> None:
        nonlocal start, filled
        if text:
            filled += len(text)
            rows.append(model.embed_tokens(torch.tensor(text, device=device)))
            positions.append(text_positions(start, len(text)))
            start += len(text)
            text.clear()

    for index in ids:
        if index == IMAGE_PLACEHOLDER and encoded is not None and grid_hw is not None:
            flush_text()
            height, width = grid_hw[0] // merge, grid_hw[1] // merge
            rows.append(encoded.image_embeds)
            filled += len(encoded.image_embeds)
            positions.append(image_positions(start, height, width))
            start += max(height, width)
        elif index == REGION_PLACEHOLDER and encoded is not None:
            flush_text()
            region = len(places)
            places.append(filled)
            rows.append(encoded.region_embeds[region : region + 1])
            positions.append(text_positions(start, 1))
            start, filled = start + 1, filled + 1
        else:
            text.append(index)
    flush_text()
    return PromptEmbeds(torch.cat(rows), torch.cat(positions, dim=1), tuple(places))
