"""Objects of scenes before they have a position: attributes, and a drawing as a mask."""

import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fo1_data.synthetic.shapes import (
    COLOURS,
    SHAPES,
    SIZE_RANGE_PX,
    SIZES,
    TEXT,
    allowed_fills,
    shape_mask,
    text_mask,
)

_LETTERS = string.ascii_uppercase + string.digits


@dataclass(frozen=True)
class Sketch:
    """An object without a position yet; `mask` (mode L) is its drawing."""

    shape: str
    colour: str
    fill: str
    size: str
    text: str | None
    mask: Image.Image


def draw_palette(invisible: frozenset[str], rng: np.random.Generator) -> list[str]:
    """The colours of a scene. Some scenes have few, so that other attributes must distinguish objects."""
    colours = [name for name in COLOURS if name not in invisible]
    rng.shuffle(colours)
    return colours[: int(rng.integers(2, len(colours) + 1))]


def draw_sketch(palette: Sequence[str], count: int, rng: np.random.Generator) -> Sketch:
    """A random object of one of the colours; among many (`count`) most are small."""
    shares = [0.3, 0.45, 0.25] if count <= 30 else [0.5, 0.46, 0.04]
    size = str(rng.choice(SIZES, p=shares))
    shape = str(rng.choice(SHAPES))
    if size != "small" and rng.random() < 0.08:
        shape = TEXT
    return sketch_of(shape, str(rng.choice(list(palette))), size, rng)


def sketch_of(shape: str, colour: str, size: str, rng: np.random.Generator) -> Sketch:
    """An object of these attributes; its fill, the side within its size and its letters are random."""
    low, high = SIZE_RANGE_PX[size]
    side = int(rng.integers(low, high + 1))
    if shape == TEXT:
        text = "".join(rng.choice(list(_LETTERS), int(rng.integers(1, 4))))
        return Sketch(shape, colour, "solid", size, text, text_mask(text, side))
    fills = allowed_fills(shape, size)
    fill = "solid" if rng.random() < 0.4 else str(rng.choice(fills))
    mask = shape_mask(shape, fill, side, rng)
    if max(mask.size) < low - 2:
        # A missing stripe or row of dots at the border made the mask too small for its named size.
        fill, mask = "solid", shape_mask(shape, "solid", side, rng)
    return Sketch(shape, colour, fill, size, None, mask)
