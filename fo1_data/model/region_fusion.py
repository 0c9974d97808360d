"""Puts image and region features in the places of a prompt's placeholders: what the language model reads.

Shapes: P tokens of the prompt with the image's tokens in it, T image tokens, R regions, D language model
width.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fo1_data.model.decoder import DeepFeatures
from fo1_data.model.modeling import Fo1Model, ImageFeatures
from fo1_data.model.prompts import IMAGE_PLACEHOLDER, REGION_PLACEHOLDER
from fo1_data.model.rotary import image_positions, text_positions


@dataclass(frozen=True)
class PromptEmbeds:
    """A prompt as embeddings.

    embeds: (P, D) in the model's dtype. positions: (3, P) int64, on the CPU. region_places: for each
    region, the row of `embeds` that holds its feature. deep: what the first layers add at the image's rows;
    None: nothing.
    """

    embeds: Tensor
    positions: Tensor
    region_places: tuple[int, ...] = ()
    deep: DeepFeatures | None = None

    @cached_property
    def next_position(self) -> int:
        """The position of the first text token after this prompt."""
        return int(self.positions.max()) + 1 if self.positions.numel() else 0


def embed_prompt(
    model: Fo1Model, ids: list[int], features: ImageFeatures | None, grid_hw: tuple[int, int] | None
) -> PromptEmbeds:
    """Put an image's T rows at its placeholder and each region's row at its own, in order.

    grid_hw: rows and columns of the ViT's patch grid; T = rows * columns / merge^2. Both are None for a
    prompt without an image. Raises ValueError, with both numbers, if the counts of placeholders and
    features differ.
    """
    num_images, num_regions = ids.count(IMAGE_PLACEHOLDER), ids.count(REGION_PLACEHOLDER)
    num_features = len(features.region_embeds) if features else 0
    if num_images != (features is not None) or num_regions != num_features:
        raise ValueError(
            f"the prompt has {num_images} image and {num_regions} region placeholders, "
            f"but features of {int(features is not None)} image and {num_features} regions"
        )
    merge = model.config.vision.spatial_merge_size
    device = model.device
    embeds: list[Tensor] = []
    positions: list[Tensor] = []
    text_ids: list[int] = []
    region_places: list[int] = []
    next_position, num_rows = 0, 0
    deep: DeepFeatures | None = None

    def append(rows_ND: Tensor, positions_3N: Tensor, advance: int) -> None:
        nonlocal next_position, num_rows
        embeds.append(rows_ND)
        positions.append(positions_3N)
        next_position += advance
        num_rows += len(rows_ND)

    def append_text() -> None:
        if text_ids:
            rows_ND = model.embed_tokens(torch.tensor(text_ids, device=device))
            append(rows_ND, text_positions(next_position, len(text_ids)), len(text_ids))
            text_ids.clear()

    for token in ids:
        if token == IMAGE_PLACEHOLDER and features is not None and grid_hw is not None:
            append_text()
            rows, columns = grid_hw[0] // merge, grid_hw[1] // merge
            positions_3T = image_positions(next_position, rows, columns)
            if features.deep_GTD is not None:
                image_rows = torch.arange(num_rows, num_rows + rows * columns, device=device)
                deep = DeepFeatures(image_rows, features.deep_GTD)
            append(features.image_embeds, positions_3T, max(rows, columns))
        elif token == REGION_PLACEHOLDER and features is not None:
            append_text()
            region = len(region_places)
            region_places.append(num_rows)
            append(features.region_embeds[region : region + 1], text_positions(next_position, 1), 1)
        else:
            text_ids.append(token)
    append_text()
    return PromptEmbeds(torch.cat(embeds), torch.cat(positions, dim=1), tuple(region_places), deep)
