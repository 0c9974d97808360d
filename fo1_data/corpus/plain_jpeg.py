"""Pixels of plain JPEGs by libjpeg-turbo itself (the package simplejpeg), bit for bit those of Pillow.

It needs three quarters of Pillow's time, releases the GIL and writes the array that callers need. It is used
only where both must agree: an 8-bit JPEG in grey or three colours that decodes without a warning. All else,
and everything where simplejpeg is not installed, is left to Pillow, which decides about pixels and rejects.
"""

import numpy as np
import numpy.typing as npt

try:
    import simplejpeg
except ImportError:  # an optional package: without it Pillow decodes everything
    simplejpeg = None

_JPEG = b"\xff\xd8\xff"
_COLOUR_SPACES = ("YCbCr", "RGB", "Gray")
# Larger images are decoded one at a time, as `images` does.
_MAX_PIXELS = 2**24

# By EXIF orientation: whether rows and columns change places, then whether rows and columns are reversed.
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def decode_plain_jpeg(data: bytes, orientation: int, max_pixels: int) -> npt.NDArray[np.uint8] | None:
    """The pixels, (H, W, 3) RGB, turned upright by an EXIF `orientation`; None if Pillow has to decide."""
    if simplejpeg is None or not data.startswith(_JPEG):
        return None
    try:
        height, width, colour_space, _ = simplejpeg.decode_jpeg_header(data, strict=True)
        if colour_space not in _COLOUR_SPACES or height * width > min(max_pixels, _MAX_PIXELS):
            return None
        stored: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB", strict=True)
    except ValueError:  # broken, or decoded with a warning
        return None
    return _turned(stored, orientation)


def _turned(stored: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    if orientation not in _TURNS:
        return stored
    swaps_axes, reverses_rows, reverses_columns = _TURNS[orientation]
    turned = stored.swapaxes(0, 1) if swaps_axes else stored
    turned = turned[::-1] if reverses_rows else turned
    turned = turned[:, ::-1] if reverses_columns else turned
    return np.ascontiguousarray(turned)
