"""The vocabulary of shapes, colours, fills and sizes, and the drawing of a single shape as a mask.

A shape is drawn as a mask at four times its size and then reduced, so that its edges are smooth. Sizes are in
pixels. The position of a shape in a scene is decided in `scenes`.
"""

import colorsys
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageDraw, ImageFont

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "diamond", "heart")
TEXT = "text"
NAMES = (*SHAPES, TEXT)
FILLS = ("solid", "striped", "dotted", "outlined")
SIZES = ("small", "medium", "large")

# The longer side of an object's box in pixels. The ranges have gaps, so that every size has only one name.
SIZE_RANGE_PX = {"small": (10, 14), "medium": (18, 25), "large": (30, 54)}

# Hue in degrees, saturation and value. The ranges do not touch, so that every colour has only one name.
_HSV_RANGES: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "red": ((-6, 5), (0.85, 1.0), (0.75, 1.0)),
    "orange": ((25, 34), (0.9, 1.0), (0.95, 1.0)),
    "yellow": ((50, 61), (0.85, 1.0), (0.92, 1.0)),
    "green": ((105, 142), (0.65, 1.0), (0.45, 0.8)),
    "cyan": ((174, 185), (0.7, 1.0), (0.88, 1.0)),
    "blue": ((202, 240), (0.75, 1.0), (0.65, 1.0)),
    "purple": ((272, 288), (0.6, 0.9), (0.5, 0.75)),
    "pink": ((322, 340), (0.35, 0.55), (0.96, 1.0)),
    "black": ((0, 360), (0.0, 0.2), (0.0, 0.09)),
    "white": ((0, 360), (0.0, 0.03), (0.96, 1.0)),
}
COLOURS = tuple(_HSV_RANGES)

_SCALE = 4


def draw_colour(name: str, rng: np.random.Generator) -> tuple[int, int, int]:
    """A random RGB colour, 0 to 255, of the named range."""
    hue, saturation, value = (rng.uniform(*span) for span in _HSV_RANGES[name])
    rgb = colorsys.hsv_to_rgb((hue % 360) / 360, saturation, value)
    return round(rgb[0] * 255), round(rgb[1] * 255), round(rgb[2] * 255)


def allowed_fills(shape: str, size: str) -> tuple[str, ...]:
    """The recognisable fills: small shapes are solid only, and an outlined circle would be a ring."""
    if size == "small" or shape in ("ring", TEXT):
        return ("solid",)
    if shape == "circle":
        return ("solid", "striped", "dotted")
    return FILLS


def shape_mask(shape: str, fill: str, side_px: int, rng: np.random.Generator) -> Image.Image:
    """The mask (mode L) of a shape whose longer side is about `side_px`, cropped to the covered pixels."""
    side = side_px * _SCALE
    canvas = Image.new("L", (side + 8, side + 8))
    pen = ImageDraw.Draw(canvas)
    outline = _outline(shape, side, rng)
    if shape == "ring":
        pen.ellipse((4, 4, side + 3, side + 3), fill=255)
        hole = side * 0.27
        middle = side / 2 + 4
        pen.ellipse((middle - hole, middle - hole, middle + hole, middle + hole), fill=0)
    elif shape == "circle":
        pen.ellipse((4, 4, side + 3, side + 3), fill=255)
    else:
        pen.polygon(outline, fill=255)
    if fill == "outlined":
        width = round(_SCALE * max(2.0, side_px * 0.09))
        inner = canvas
        canvas = Image.new("L", inner.size)
        pen = ImageDraw.Draw(canvas)
        pen.line([*outline, outline[0], outline[1]], fill=255, width=width, joint="curve")
        canvas = _multiply(canvas, inner)
    elif fill in ("striped", "dotted"):
        canvas = _multiply(canvas, _pattern(fill, canvas.size, side_px, rng))
    return _reduce(canvas)


def text_mask(text: str, side_px: int) -> Image.Image:
    """The mask (mode L) of `text` in one line; its longer side is about `side_px`."""
    font = _font(28 * _SCALE)
    left, top, right, bottom = font.getbbox(text)
    canvas = Image.new("L", (round(right - left) + 8, round(bottom - top) + 8))
    ImageDraw.Draw(canvas).text((4 - left, 4 - top), text, font=font, fill=255)
    ink = _crop(canvas)
    factor = side_px / max(ink.size)
    size = (max(1, round(ink.width * factor)), max(1, round(ink.height * factor)))
    return _crop(ink.resize(size, Image.Resampling.BOX))


def _outline(shape: str, side: int, rng: np.random.Generator) -> list[tuple[float, float]]:
    turn = math.radians(float(rng.uniform(-8, 8))) if rng.random() < 0.5 else 0.0
    points = _POINTS.get(shape, _POINTS["square"])
    cos, sin = math.cos(turn), math.sin(turn)
    turned = [(x * cos - y * sin, x * sin + y * cos) for x, y in points]
    low_x, low_y = (min(axis) for axis in zip(*turned, strict=True))
    extent = max(max(x for x, _ in turned) - low_x, max(y for _, y in turned) - low_y)
    return [((x - low_x) / extent * (side - 1) + 4, (y - low_y) / extent * (side - 1) + 4) for x, y in turned]


def _star() -> list[tuple[float, float]]:
    radii = [1.0 if corner % 2 == 0 else 0.42 for corner in range(10)]
    angles = [math.pi * corner / 5 - math.pi / 2 for corner in range(10)]
    return [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]


def _heart() -> list[tuple[float, float]]:
    angles = [2 * math.pi * step / 40 for step in range(40)]
    return [
        (
            16 * math.sin(a) ** 3,
            -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)),
        )
        for a in angles
    ]


_ARM = 0.34
_POINTS: dict[str, list[tuple[float, float]]] = {
    "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    "triangle": [(0, -1), (1, 1), (-1, 1)],
    "diamond": [(0, -1), (0.85, 0), (0, 1), (-0.85, 0)],
    "cross": [
        (-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM),
        (_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM),
    ],
    "star": _star(),
    "heart": _heart(),
}  # fmt: skip


def _pattern(fill: str, size: tuple[int, int], side_px: int, rng: np.random.Generator) -> Image.Image:
    step = _SCALE * max(4.0, side_px * 0.16)
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    phase = float(rng.uniform(0, step))
    if fill == "striped":
        angle = float(rng.choice([0.0, math.pi / 4, math.pi / 2, 3 * math.pi / 4]))
        along = x * math.cos(angle) + y * math.sin(angle) + phase
        covered = (along % step) < step * 0.55
    else:
        covered = ((x + phase) % step - step / 2) ** 2 + ((y + phase) % step - step / 2) ** 2 < (
            0.36 * step
        ) ** 2
    return Image.fromarray(np.where(covered, 255, 0 if fill == "striped" else 95).astype(np.uint8))


def _multiply(a: Image.Image, b: Image.Image) -> Image.Image:
    product = np.asarray(a, np.uint16) * np.asarray(b, np.uint16) // 255
    return Image.fromarray(product.astype(np.uint8))


def _reduce(mask: Image.Image) -> Image.Image:
    return _crop(mask.resize((mask.width // _SCALE, mask.height // _SCALE), Image.Resampling.BOX))


def _crop(mask: Image.Image) -> Image.Image:
    box = mask.point([0] * 64 + [255] * 192).getbbox()
    return mask.crop(box) if box else mask


@lru_cache(maxsize=4)
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size_px)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError(f"Pillow at {Path(PIL.__file__).parent} lacks FreeType; install a build with it")
    return font
