"""Decoding of encoded bytes to an upright RGB image, or a reject with the reason.

The content decides the format, not the file name; of an animation, the first frame is the image; the EXIF
orientation is applied. Sizes are in pixels. Limits are checked from the header, before decoding. Formats that
start a program or contain no raster (EPS, WMF, ...) are not opened. Reads no files.
"""

import hashlib
import io
import mmap
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from PIL import ExifTags, Image, UnidentifiedImageError

from fo1_data.corpus.colour_modes import is_plain, to_rgb
from fo1_data.corpus.decoder_warnings import collected_warnings
from fo1_data.corpus.further_pages import further_pages
from fo1_data.corpus.png_header import without_png_pixels
from fo1_data.corpus.unread_formats import unread_format
from fo1_data.errors import InputReject
from schemas.images import RejectStage

# EPS would start Ghostscript; Pillow itself cannot decode the others.
_NOT_OPENED = frozenset({"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"})
# For codecs that are loops in Python (QOI, 16-bit PPM, ...), where a small file could take minutes.
_SLOW_MAX_PIXELS = 2**24
# OpenJPEG needs 32 bits per channel besides the result: 20 bytes per pixel.
JPEG2000_MAX_PIXELS = 2**26
# Larger images are decoded one at a time: a decoder may need several times the bytes of the pixels.
_LARGE_PIXELS = 2**24
_large_lock = threading.Lock()

TRANSPOSE_OF_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


MAX_BYTES = 100 * 2**20


@dataclass(frozen=True)
class InputLimits:
    """Limits of one input: pixels, encoded bytes, and seconds per attempt of a download."""

    max_pixels: int = 100_000_000
    max_bytes: int = MAX_BYTES
    download_timeout_s: float = 30.0


@dataclass(frozen=True)
class DecodedImage:
    """An upright RGB image.

    `width`, `height`: of `rgb`; `stored_wh`: the size before the EXIF `orientation` (1 to 8) was applied;
    `notes`: Pillow's warnings about the file; `meta`: for the row's `meta`, how values became colours and how
    many further pages the file has.
    """

    image_id: str
    rgb: Image.Image
    width: int
    height: int
    orientation: int
    stored_wh: tuple[int, int]
    notes: tuple[str, ...] = ()
    meta: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ImageFrame:
    """What a `DecodedImage` says of its frame, without its pixels; its id is not known yet."""

    width: int
    height: int
    orientation: int
    stored_wh: tuple[int, int]
    image_id: str | None = None
    meta: Mapping[str, Any] | None = None


def image_id_of(data: bytes) -> str:
    """The identity of an image: SHA-256 of its encoded bytes, hex."""
    return hashlib.sha256(data).hexdigest()


def decode_rgb(
    data: bytes,
    limits: InputLimits,
    image_id: str | None = None,
    before_pixels: Callable[[int], None] = lambda _: None,
) -> DecodedImage:
    """Decode an image of any format and colour mode that Pillow reads (see `colour_modes`).

    `image_id`: of bytes that were hashed before; None: they are hashed. `before_pixels`: called with the
    number of pixels, within the limits, before they are decoded.
    Raises InputReject (stage `decode`) with reason `empty`, `not_an_image`, `too_many_pixels`,
    `truncated` or `broken`.
    """
    with _opening(data) as notes:
        rgb, orientation, stored_wh, meta = _decode(data, limits, notes, before_pixels)
    return DecodedImage(
        image_id or image_id_of(data),
        rgb,
        rgb.width,
        rgb.height,
        orientation,
        stored_wh,
        tuple(dict.fromkeys(notes)),
        meta,
    )


def read_oriented_wh(data: bytes, limits: InputLimits) -> tuple[int, int]:
    """Width and height of the upright image, from its header and EXIF: its pixels are not decoded.

    Raises InputReject as `decode_rgb` does, except for faults that only the pixels show.
    """
    frame = read_frame(data, limits)
    return frame.width, frame.height


def read_frame(data: bytes | mmap.mmap, limits: InputLimits | None = None) -> ImageFrame:
    """The frame of an image from its header and EXIF: its pixels are not decoded.

    limits: None allows any size. Raises InputReject as `decode_rgb` does, except for faults that only the
    pixels show.
    """
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    with _opening(data) as notes, Image.open(stream, formats=_formats()) as image:  # type: ignore[arg-type]
        if limits is not None:
            _check_size(image, limits)
        is_png = image.format == "PNG"
        orientation = _png_orientation(image, data, notes) if is_png else _orientation_of(image, notes)
        turned = _turned(image.size, orientation)
        # Pillow has swapped width and height of a TIFF.
        upright, stored = (image.size, turned) if image.format == "TIFF" else (turned, image.size)
        return ImageFrame(*upright, orientation, stored, meta=further_pages(image, stream))  # type: ignore[arg-type]


def has_plain_colours(data: bytes) -> bool:
    """Whether Pillow's own `convert("RGB")`, as most programs use it, gives the colours of `decode_rgb`.

    It does not for transparent images and for grey values of more than 8 bits. The pixels are not decoded.
    Raises InputReject as `read_frame` does.
    """
    with _opening(data), Image.open(io.BytesIO(data), formats=_formats()) as image:
        return is_plain(image)


def _turned(stored_wh: tuple[int, int], orientation: int) -> tuple[int, int]:
    width, height = stored_wh
    return (height, width) if orientation >= 5 else (width, height)


@contextmanager
def _opening(data: bytes | mmap.mmap) -> Iterator[list[str]]:
    """Collect Pillow's warnings, and turn whatever it raises into an InputReject."""
    if not data:
        raise _reject("empty", "the file has no bytes")
    with collected_warnings() as notes:
        try:
            yield notes
        except InputReject:
            raise
        except Image.DecompressionBombError as error:
            raise _reject("too_many_pixels", str(error)) from error
        except UnidentifiedImageError as error:
            raise _reject("not_an_image", unread_format(data[:12])) from error
        except Exception as error:
            # Decoders raise almost anything for broken input: OSError, ValueError, SyntaxError, struct.error.
            text = " ".join(str(error).split())[:300] or type(error).__name__
            reason = "truncated" if "truncated" in text.lower() else "broken"
            raise _reject(reason, text) from error


def _reject(reason: str, message: str) -> InputReject:
    return InputReject(RejectStage.DECODE, reason, message, replayable=False)


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in Image.ID if name not in _NOT_OPENED)


def _decode(
    data: bytes, limits: InputLimits, notes: list[str], before_pixels: Callable[[int], None]
) -> tuple[Image.Image, int, tuple[int, int], Mapping[str, int] | None]:
    with Image.open(io.BytesIO(data), formats=_formats()) as image:
        _check_size(image, limits)
        before_pixels(image.width * image.height)
        with _decoding_slot(image.width * image.height):
            orientation = _orientation_of(image, notes)
            stored_wh = image.size
            image.load()
            _check_size(image, limits)
            if image.format == "TIFF":
                # Pillow itself makes TIFFs upright, and swaps width and height before that.
                upright, stored_wh = to_rgb(image), _turned(image.size, orientation)
            else:
                rgb, method = to_rgb(image), TRANSPOSE_OF_ORIENTATION.get(orientation)
                upright = rgb if method is None else rgb.transpose(method)
            return upright, orientation, stored_wh, further_pages(image, io.BytesIO(data))


def _check_size(image: Image.Image, limits: InputLimits) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise _reject("broken", f"the header declares {width} x {height} pixels")
    limit = limits.max_pixels
    if any(tile[0] in Image.DECODERS for tile in getattr(image, "tile", ())):
        limit = min(limit, _SLOW_MAX_PIXELS)
    elif image.format == "JPEG2000":
        limit = min(limit, JPEG2000_MAX_PIXELS)
    if width * height > limit:
        raise _reject(
            "too_many_pixels", f"{width} x {height} {image.format} is over the limit max_pixels = {limit}"
        )


@contextmanager
def _decoding_slot(num_pixels: int) -> Iterator[None]:
    """Wait until no other large image is decoded, if this one is large."""
    if num_pixels < _LARGE_PIXELS:
        yield
        return
    with _large_lock:
        yield


def _png_orientation(image: Image.Image, data: bytes | mmap.mmap, notes: list[str]) -> int:
    """The EXIF orientation of a PNG, of which Pillow would decode the pixels to find it."""
    with suppress(Exception), Image.open(io.BytesIO(without_png_pixels(data)), formats=("PNG",)) as header:
        return _orientation_of(header, notes, Image.Image.getexif)
    return _orientation_of(image, notes, Image.Image.getexif)  # a chunk behind the pixels is broken


def _orientation_of(
    image: Image.Image,
    notes: list[str],
    read_exif: Callable[[Any], Image.Exif] = lambda image: image.getexif(),
) -> int:
    """The EXIF orientation; 1 if there is none or it cannot be read."""
    try:
        value = read_exif(image).get(ExifTags.Base.Orientation, 1)
    except Exception as error:
        # Broken metadata is no reason to reject good pixels.
        notes.append(f"EXIF: {' '.join(str(error).split())[:200] or type(error).__name__}")
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
