"""Backgrounds from flat to textured and noisy, and the degradations of a camera or a file format."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Pixels = npt.NDArray[np.float32]
# For each tone, the range of lightness (0 to 1) and the object colours that would be invisible on it.
TONES: dict[str, tuple[tuple[float, float], frozenset[str]]] = {
    "light": ((0.74, 0.93), frozenset({"white"})),
    "white": ((0.97, 1.0), frozenset({"white"})),
    "middle": ((0.42, 0.58), frozenset()),
    "dark": ((0.12, 0.22), frozenset({"black", "purple"})),
}
KINDS = ("flat", "gradient", "noise", "blotches", "lines", "panels")


def draw_background(canvas_wh: tuple[int, int], tone: str, kind: str, rng: np.random.Generator) -> Pixels:
    """An RGB background of low saturation, (height, width, 3) float32 in 0..255."""
    width, height = canvas_wh
    base = float(rng.uniform(*TONES[tone][0])) * 255 + rng.uniform(-9, 9, 3)
    pixels = np.broadcast_to(base.astype(np.float32), (height, width, 3)).copy()
    if kind == "gradient":
        pixels += _gradient(canvas_wh, rng)[..., None]
    elif kind == "noise":
        pixels += rng.standard_normal((height, width, 1), dtype=np.float32) * float(rng.uniform(3, 9))
    elif kind == "blotches":
        pixels += _blotches(canvas_wh, rng)[..., None]
    elif kind == "lines":
        pixels += _lines(canvas_wh, rng)[..., None]
    elif kind == "panels":
        pixels = _panels(canvas_wh, pixels, rng)
    return pixels


def degrade(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Adds, each with some probability, a slight blur, sensor noise and JPEG artefacts."""
    if rng.random() < 0.25:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 0.7))))
    if rng.random() < 0.2:
        pixels = np.asarray(image, np.float32)
        noise = rng.standard_normal(pixels.shape, dtype=np.float32) * float(rng.uniform(2, 7))
        image = Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
    if rng.random() < 0.3:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(55, 96)))
        image = Image.open(buffer).convert("RGB")
    return image


def _gradient(canvas_wh: tuple[int, int], rng: np.random.Generator) -> Pixels:
    width, height = canvas_wh
    angle = float(rng.uniform(0, 2 * np.pi))
    x = np.linspace(-1, 1, width, dtype=np.float32) * np.cos(angle)
    y = np.linspace(-1, 1, height, dtype=np.float32) * np.sin(angle)
    slope: Pixels = (x[None, :] + y[:, None]) * float(rng.uniform(6, 20))
    return slope


def _blotches(canvas_wh: tuple[int, int], rng: np.random.Generator) -> Pixels:
    cell = int(rng.integers(10, 40))
    width, height = canvas_wh
    coarse = rng.uniform(0, 255, (height // cell + 2, width // cell + 2)).astype(np.uint8)
    fine = Image.fromarray(coarse).resize(canvas_wh, Image.Resampling.BICUBIC)
    return (np.asarray(fine, np.float32) - 127.5) * float(rng.uniform(0.05, 0.16))


def _lines(canvas_wh: tuple[int, int], rng: np.random.Generator) -> Pixels:
    width, height = canvas_wh
    step = int(rng.integers(7, 30))
    pixels = np.zeros((height, width), np.float32)
    strength = float(rng.uniform(-16, 16))
    pixels[::step, :] += strength
    if rng.random() < 0.6:
        pixels[:, ::step] += strength
    return pixels


def _panels(canvas_wh: tuple[int, int], pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Two to four upright panels of the base tone, with gaps of another tone between them."""
    width, _ = canvas_wh
    count = int(rng.integers(2, 5))
    gap = float(rng.uniform(0.1, 0.5))
    out = np.full_like(pixels, 255.0 if pixels.mean() > 120 else float(rng.uniform(25, 50)))
    pitch = width / (count + gap * (count - 1))
    for panel in range(count):
        left = round(panel * pitch * (1 + gap))
        out[:, left : round(left + pitch)] = pixels[:, left : round(left + pitch)]
    return out
