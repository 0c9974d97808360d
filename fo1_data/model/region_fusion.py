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
    rows = _PromptRows(model)
    region_places: list[int] = []
    deep: DeepFeatures | None = None
    for token in ids:
        if token == IMAGE_PLACEHOLDER and features is not None and grid_hw is not None:
            first = rows.add_image(features.image_embeds, grid_hw)
            if features.deep_GTD is not None:
                image_rows = torch.arange(first, first + len(features.image_embeds), device=model.device)
                deep = DeepFeatures(image_rows, features.deep_GTD)
        elif token == REGION_PLACEHOLDER and features is not None:
            region = len(region_places)
            region_places.append(rows.add_region(features.region_embeds[region : region + 1]))
        else:
            rows.add_token(token)
    return rows.finish(tuple(region_places), deep)


class _PromptRows:
    """The rows of a prompt so far. Text tokens wait until something else follows, to be embedded together."""

    def __init__(self, model: Fo1Model) -> None:
        self._model = model
        self._embeds: list[Tensor] = []
        self._positions: list[Tensor] = []
        self._text_ids: list[int] = []
        self._next_position = self._num_rows = 0

    def add_token(self, token: int) -> None:
        self._text_ids.append(token)

    def add_image(self, rows_TD: Tensor, grid_hw: tuple[int, int]) -> int:
        """Add an image's rows; returns the number of the first."""
        self._add_text()
        merge = self._model.config.vision.spatial_merge_size
        rows, columns = grid_hw[0] // merge, grid_hw[1] // merge
        self._add(rows_TD, image_positions(self._next_position, rows, columns), max(rows, columns))
        return self._num_rows - len(rows_TD)

    def add_region(self, row_1D: Tensor) -> int:
        """Add a region's row; returns its number."""
        self._add_text()
        self._add(row_1D, text_positions(self._next_position, 1), 1)
        return self._num_rows - 1

    def finish(self, region_places: tuple[int, ...], deep: DeepFeatures | None) -> PromptEmbeds:
        self._add_text()
        return PromptEmbeds(torch.cat(self._embeds), torch.cat(self._positions, dim=1), region_places, deep)

    def _add_text(self) -> None:
        if self._text_ids:
            rows_ND = self._model.embed_tokens(torch.tensor(self._text_ids, device=self._model.device))
            self._add(rows_ND, text_positions(self._next_position, len(rows_ND)), len(rows_ND))
            self._text_ids.clear()

    def _add(self, rows_ND: Tensor, positions_3N: Tensor, advance: int) -> None:
        self._embeds.append(rows_ND)
        self._positions.append(positions_3N)
        self._next_position += advance
        self._num_rows += len(rows_ND)
