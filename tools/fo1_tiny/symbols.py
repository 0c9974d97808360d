"""Scenes without pixels: objects as attributes and boxes, to train the language model on oracle features.

An oracle feature is a fixed random projection of an object's attributes, normalised as the region encoder
normalises its parts, plus the sine embedding of the box. From such features the language model learns
everything except to see.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fo1_data.model.position_embedding import embed_boxes
from fo1_data.synthetic.scenes import SceneObject
from fo1_data.synthetic.shapes import COLOURS, NAMES, SIZE_RANGE_PX, SIZES, TEXT, allowed_fills
from fo1_data.synthetic.wording import brief_caption, detailed_caption, label_of
from schemas.corpus import CorpusRegion


@dataclass(frozen=True)
class SymbolScene:
    """Objects in prompt order; `things[i]` is None if box i shows background only."""

    canvas_wh: tuple[int, int]
    things: list[SceneObject | None]
    boxes_xyxy: np.ndarray

    @property
    def objects(self) -> list[SceneObject]:
        """The objects, without background."""
        return [thing for thing in self.things if thing is not None]

    @property
    def positions(self) -> list[int]:
        """The position in the prompt of each object."""
        return [position for position, thing in enumerate(self.things) if thing is not None]


def draw_symbols(num_boxes: int, rng: np.random.Generator) -> SymbolScene:
    """A scene of `num_boxes` boxes, a few of them on background."""
    canvas = (int(rng.integers(80, 400)), int(rng.integers(80, 400)))
    colours = rng.permutation(COLOURS)[: int(rng.integers(2, len(COLOURS) + 1))]
    shapes = rng.permutation(NAMES)[: int(rng.integers(2, len(NAMES) + 1))]
    things: list[SceneObject | None] = []
    boxes = np.zeros((num_boxes, 4), np.float32)
    background_share = 0.08 if rng.random() < 0.5 else 0.0
    for position in range(num_boxes):
        shape, size = str(rng.choice(shapes)), str(rng.choice(SIZES))
        size = "medium" if shape == TEXT and size == "small" else size
        low, high = SIZE_RANGE_PX[size]
        sides = rng.integers(low, high + 1, 2)
        corner = rng.uniform(0, np.maximum(1, np.array(canvas) - sides))
        boxes[position] = [*corner, *(corner + sides)]
        if rng.random() < background_share and position:
            things.append(None)
            continue
        fills = allowed_fills(shape, size)
        fill = "solid" if rng.random() < 0.4 else str(rng.choice(fills))
        box = tuple(boxes[position].tolist())
        things.append(SceneObject(shape, str(rng.choice(colours)), fill, size, box))
    return SymbolScene(canvas, things, boxes)


def region_of(thing: SceneObject | None, canvas_wh: tuple[int, int]) -> CorpusRegion | None:
    """An object as a gold region; the content of a text is left out. None for background."""
    if thing is None:
        return None
    return CorpusRegion(
        box_xyxy=thing.box_xyxy,
        label=label_of(thing),
        caption=brief_caption(thing),
        detailed_caption=detailed_caption(thing, canvas_wh),
        text=None if thing.shape == TEXT else "",
    )


def oracle_features(codes_RK: Tensor, boxes_R4: Tensor, canvas_wh: tuple[int, int], width: int) -> Tensor:
    """Features (R, width) like those of the region encoder before the projection.

    Boxes in pixels of the canvas. Adds noise to the codes.
    """
    generator = torch.Generator().manual_seed(1)
    projection = torch.randn(codes_RK.shape[1], width, generator=generator)
    noisy = codes_RK + 0.06 * torch.randn_like(codes_RK)
    normed = functional.layer_norm(noisy @ projection, (width,))
    return normed + embed_boxes(boxes_R4, (canvas_wh[1], canvas_wh[0]), width)
