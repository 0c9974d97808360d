"""Conversion of all of Pillow's colour modes to 8-bit RGB.

- Transparency of any kind is composited over white.
- 16-bit grey is scaled by its full range (65535 -> 255); 16-bit colour is scaled by Pillow.
- 32-bit integers and floats have no fixed range. Values within 0..1 (floats only), 0..255 or 0..65535 are
  scaled from the smallest of these ranges; others from their smallest to their largest finite value.
- A TIFF whose small values are light (WhiteIsZero) is turned; Pillow itself turns only those of up to 8 bits.
Colour profiles are not applied. Large images are converted in strips of rows, so that memory holds the source
and the result, but no float copy of them.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

_WHITE = (255, 255, 255)
_STRIP_PIXELS = 2**22
_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
# Formats whose mode "I" holds 16-bit samples that Pillow has widened.
_WIDENED = ("PNG", "PPM")
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a loaded image to RGB; may return the same object."""
    if image.mode in _SIXTEEN_BIT:
        return _grey_to_rgb(image, 0.0, 65535.0)
    if image.mode in ("I", "F"):
        return _grey_to_rgb(image, *_value_range(image))
    if _has_transparency(image):
        return _composite_over_white(image if image.mode == "RGBA" else image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def is_plain(image: Image.Image) -> bool:
    """Whether Pillow's own `convert("RGB")` gives the colours of `to_rgb`. The pixels need not be loaded."""
    return image.mode not in (*_SIXTEEN_BIT, "I", "F") and not _has_transparency(image)


def _has_transparency(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield top, image.crop((0, top, width, min(height, top + rows)))


def _composite_over_white(rgba: Image.Image) -> Image.Image:
    result = Image.new("RGB", rgba.size, _WHITE)
    for top, strip in _strips(rgba):
        result.paste(strip.convert("RGB"), (0, top), strip.getchannel("A"))
    return result


def _is_white_zero(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    return bool(tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)


def _value_range(image: Image.Image) -> tuple[float, float]:
    if image.mode == "I" and image.format in _WIDENED:
        return 0.0, 65535.0
    low, high = np.inf, -np.inf
    for _, strip in _strips(image):
        values = np.asarray(strip)
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        return 0.0, 1.0
    for top in (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0):
        if low >= 0 and high <= top:
            return 0.0, top
    return low, high


def _grey_to_rgb(image: Image.Image, low: float, high: float) -> Image.Image:
    result = Image.new("RGB", image.size)
    transparent = image.info.get("transparency")
    is_turned = _is_white_zero(image)
    scale = 255.0 / (high - low) if high > low else 0.0
    for top, strip in _strips(image):
        values = np.asarray(strip)
        grey = np.nan_to_num((values.astype(np.float64) - low) * scale, nan=0.0, posinf=255.0, neginf=0.0)
        if is_turned:
            grey = 255.0 - grey
        if isinstance(transparent, int):
            grey[values == transparent] = 255.0
        levels = np.rint(grey.clip(0.0, 255.0)).astype(np.uint8)
        result.paste(Image.fromarray(levels).convert("RGB"), (0, top))
    return result
