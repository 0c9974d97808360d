"""Corruptions that make scenes harder than those of training: textured backgrounds, clutter, blur, noise.

With strength s, each scene draws its own severity between 0 and s, so that a corpus has easy and hard images.
Gold stays exact: objects and their boxes do not move. Strength 0 changes nothing; 1 makes many objects
unreadable. The same seed gives the same image.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fo1_data.synthetic.backgrounds import Pixels
from fo1_data.synthetic.layout import BoxPx

_MOST_CLUTTER = 0.45
_BLUR_PX, _NOISE = 2.2, 44.0


def draw_severity(strength: float, rng: np.random.Generator) -> float:
    """The severity of one scene, between 0 and `strength`."""
    return float(strength * rng.uniform(0, 1))


def add_texture(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """The background with a coloured texture over it that does not occur in training.

    `pixels`: (height, width, 3) float32 in 0..255; the result has the same shape.
    """
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    pattern = str(rng.choice(["checks", "waves", "rings", "grain"]))
    cell = float(rng.uniform(6, 22))
    angle = float(rng.uniform(0, math.pi))
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    if pattern == "checks":
        texture = np.sign(np.sin(u * math.pi / cell) * np.sin(v * math.pi / cell))
    elif pattern == "waves":
        texture = np.sin(u * math.pi / cell + 2 * np.sin(v * math.pi / (3 * cell)))
    elif pattern == "rings":
        centre = (rng.uniform(0, width), rng.uniform(0, height))
        texture = np.sin(np.hypot(x - centre[0], y - centre[1]) * math.pi / cell)
    else:
        coarse = rng.uniform(-1, 1, (height // 4 + 2, width // 4 + 2)).astype(np.float32)
        texture = np.kron(coarse, np.ones((4, 4), np.float32))[:height, :width]
    tint = rng.uniform(-1, 1, 3).astype(np.float32)
    mixed: Pixels = pixels + texture[..., None] * tint * (90.0 * severity)
    return mixed


def corrupt(
    image: Image.Image, boxes_xyxy: Sequence[BoxPx], severity: float, rng: np.random.Generator
) -> Image.Image:
    """The image with clutter over some objects, then blur and noise. `boxes_xyxy`: pixels of the image."""
    image = image.copy()
    _clutter(image, boxes_xyxy, severity, rng)
    blur = severity * float(rng.uniform(0, _BLUR_PX))
    if blur > 0.05:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    pixels = np.asarray(image, np.float32)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * (severity * float(rng.uniform(0, _NOISE)))
    dimmed = 128 + (pixels - 128) * (1 - 0.5 * severity * float(rng.uniform(0, 1)))
    return Image.fromarray(np.clip(dimmed + noise, 0, 255).astype(np.uint8))


def _clutter(
    image: Image.Image, boxes_xyxy: Sequence[BoxPx], severity: float, rng: np.random.Generator
) -> None:
    """Draws strokes and patches that hide parts of objects, but no whole object."""
    pen = ImageDraw.Draw(image)
    for x_min, y_min, x_max, y_max in boxes_xyxy:
        if rng.random() > severity * 0.9:
            continue
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        width, height = x_max - x_min, y_max - y_min
        share = float(rng.uniform(0.15, _MOST_CLUTTER))
        if rng.random() < 0.5:
            left = x_min + float(rng.uniform(0, 1 - share)) * width
            top = y_min + float(rng.uniform(0, 1 - share)) * height
            corner = (left + share * width * 1.4, top + share * height * 1.4)
            pen.ellipse((left, top, *corner), fill=colour)
        else:
            start = (x_min - 4, y_min + float(rng.uniform(0, 1)) * height)
            end = (x_max + 4, y_min + float(rng.uniform(0, 1)) * height)
            pen.line((start, end), fill=colour, width=max(1, round(share * 0.4 * min(width, height))))
