"""Which files are rasters: TIFF and JPEG 2000 whose header holds what Pillow would lose or misread.

That is: coordinates, a nodata value, a mask, names of bands, samples of more than 8 bits, signed or floating,
or bands that make no grey or colour picture. All other files stay with Pillow. Reads headers alone, and needs
no package: what is a raster does not depend on what is installed.
"""

import io
import struct
from collections.abc import Iterator
from typing import IO

from PIL import Image, TiffImagePlugin

from fo1_data.corpus.decoder_warnings import collected_warnings

_BIG_TIFF, _BIG_TIFF_BIG_ENDIAN = b"II+\x00", b"MM\x00+"
_TIFF_STARTS = (b"II*\x00", b"MM\x00*", _BIG_TIFF, _BIG_TIFF_BIG_ENDIAN)
JP2_START = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
CODESTREAM_START = b"\xff\x4f\xff\x51"

_WIDTH, _BITS, _SAMPLE_FORMAT, _SUBFILE_TYPE, _ORIENTATION = 256, 258, 339, 254, 274
_GEO_TAGS = (33550, 33922, 34264, 34735, 50844)  # pixel scale, tie points, transform, keys, RPC
_NODATA, _GDAL_METADATA = 42113, 42112
_BAND_ROLES = ('role="description"', 'role="colorinterp"')
_UNSIGNED = 1
_SMALLER_BIT, _MASK_BIT = 1, 4
_MOST_DIRECTORIES, _MOST_PAGES = 32, 1000
_PICTURES = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG"}
_GEO_JP2 = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03")
_MOST_BOXES = 1000

Directory = TiffImagePlugin.ImageFileDirectory_v2


def is_tiff(start: bytes) -> bool:
    """Whether a file that begins so is a TIFF or a BigTIFF."""
    return start.startswith(_TIFF_STARTS)


def is_jpeg2000(start: bytes) -> bool:
    """Whether a file that begins so (12 bytes) is a JPEG 2000 file or codestream."""
    return start.startswith((JP2_START, CODESTREAM_START))


def driver_of(start: bytes) -> str | None:
    """The driver of GDAL that reads a file that begins so; None for all formats but four.

    Other drivers follow references to other files and addresses, or run code for rare formats.
    """
    if is_tiff(start):
        return "GTiff"
    if is_jpeg2000(start):
        return "JP2OpenJPEG"
    return next((driver for begin, driver in _PICTURES.items() if start.startswith(begin)), None)


def num_pixels(stream: IO[bytes]) -> int:
    """How many pixels a picture has, by its header; 0 if Pillow cannot tell."""
    stream.seek(0)
    with collected_warnings():
        try:
            image = _header_of(stream)
            return int(image.width) * int(image.height)
        except Exception:
            return 0


def jpeg2000_wh(stream: IO[bytes]) -> tuple[int, int] | None:
    """Width and height by the header of a JPEG 2000 file; None for other files, and without one."""
    stream.seek(0)
    if stream.read(12) != JP2_START:
        return None
    for kind, body in _boxes(stream):
        if kind == b"jp2h":
            header = dict(_boxes(io.BytesIO(body))).get(b"ihdr", b"")
            height, width = struct.unpack(">II", header[:8]) if len(header) >= 8 else (0, 0)
            return width, height
    return None


def raster_trait(data: bytes | IO[bytes]) -> str | None:
    """What makes a file a raster, in a few words; None if it is none, or its header is damaged."""
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    stream.seek(0)
    start = stream.read(12)
    with collected_warnings():
        try:
            if start.startswith(_BIG_TIFF_BIG_ENDIAN):
                return "a form of TIFF that Pillow does not read"
            if is_tiff(start):
                return _tiff_trait(stream)
            return _jpeg2000_trait(stream, start) if is_jpeg2000(start) else None
        except Exception:  # damaged in any way: whoever decodes the pixels says so
            return None


def stored_orientation(stream: IO[bytes]) -> int:
    """The orientation (1 to 8) that a file declares by a TIFF tag or EXIF; 1 if none can be read."""
    stream.seek(0)
    start = stream.read(4)
    with collected_warnings():
        try:
            if is_tiff(start):
                value = next(_directories(stream)).get(_ORIENTATION, 1)
            else:
                value = Image.Image.getexif(_header_of(stream)).get(_ORIENTATION, 1)
        except Exception:
            return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def num_tiff_pages(stream: IO[bytes]) -> int:
    """How many pages a TIFF has, at most 1,000; overviews and masks are none. 0 if its header is damaged."""
    with collected_warnings():
        try:
            kinds = [page.get(_SUBFILE_TYPE, 0) for page in _directories(stream, _MOST_PAGES)]
        except Exception:  # damaged in any way: whoever decodes the pixels says so
            return 0
    return sum(not kind & (_SMALLER_BIT | _MASK_BIT) for kind in kinds)


def _header_of(stream: IO[bytes]) -> Image.Image:
    """A picture of any size, of which only the header is read: `Image.open` refuses large ones."""
    stream.seek(0)
    form = {"GTiff": "TIFF", "JP2OpenJPEG": "JPEG2000"}
    driver = driver_of(stream.read(12)) or ""
    Image.preinit()
    Image.init()
    stream.seek(0)
    factory, _ = Image.OPEN[form.get(driver, driver)]
    image: Image.Image = factory(stream, "")
    return image


def _directories(stream: IO[bytes], most: int = _MOST_DIRECTORIES) -> Iterator[Directory]:
    stream.seek(0)
    header = stream.read(4)
    header += stream.read(12 if header == _BIG_TIFF else 4)
    directory = Directory(header)
    seen: set[int] = set()
    while directory.next and directory.next not in seen and len(seen) < most:
        place = directory.next
        seen.add(place)
        directory = Directory(header)
        stream.seek(place)
        directory.load(stream)
        yield directory


def _tiff_trait(stream: IO[bytes]) -> str | None:
    first, *others = _directories(stream)
    if any(tag in first for tag in _GEO_TAGS):
        return "coordinates"
    if _NODATA in first:
        return "a nodata value"
    if max(first.get(_BITS, (1,))) > 8:
        return f"{max(first[_BITS])}-bit values"
    if any(form != _UNSIGNED for form in first.get(_SAMPLE_FORMAT, (_UNSIGNED,))):
        return "signed or floating values"
    if any(role in str(first.get(_GDAL_METADATA, "")) for role in _BAND_ROLES):
        return "named bands"
    if any(directory.get(_SUBFILE_TYPE, 0) & _MASK_BIT for directory in others):
        return "a mask"
    try:
        stream.seek(0)
        with Image.open(stream, formats=("TIFF",)):
            return None
    except Exception:  # no mode of Pillow has these samples
        return "bands without a meaning as a picture" if first.get(_WIDTH) else None


def _jpeg2000_trait(stream: IO[bytes], start: bytes) -> str | None:
    if start.startswith(CODESTREAM_START):
        stream.seek(0)
        # SIZ: marker, length, capabilities, 8 sizes of 4 bytes, components, depth of each (3 bytes).
        header = stream.read(4096)
        num_bands = struct.unpack(">H", header[40:42])[0]
        return _samples_trait(num_bands, header[42 : 42 + 3 * num_bands : 3])
    trait = None
    for kind, body in _boxes(stream):
        if (kind == b"uuid" and body.startswith(_GEO_JP2)) or (kind == b"asoc" and b"gml.data" in body):
            return "coordinates"
        if kind == b"jp2h":
            parts = dict(_boxes(io.BytesIO(body)))
            header = parts.get(b"ihdr", b"")
            num_bands, depth = struct.unpack(">HB", header[8:11])
            trait = _samples_trait(num_bands, parts.get(b"bpcc", bytes([depth])))
    return trait


def _samples_trait(num_bands: int, depths: bytes) -> str | None:
    """depths: one byte a component; bit 7: signed; the others: bits less one."""
    if any(depth & 0x80 for depth in depths):
        return "signed or floating values"
    bits = max((depth & 0x7F) + 1 for depth in depths)
    if bits > 8:
        return f"{bits}-bit values"
    return f"{num_bands} bands" if num_bands > 4 else None


def _boxes(stream: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The boxes of JPEG 2000 (ISO/IEC 15444-1, annex I): kind and the body's first 64 KiB."""
    stream.seek(0)
    place = 0
    for _ in range(_MOST_BOXES):
        stream.seek(place)
        header = stream.read(8)
        if len(header) < 8:
            return
        length, kind = struct.unpack(">I4s", header)
        begin = 8
        if length == 1:
            length, begin = struct.unpack(">Q", stream.read(8))[0], 16
        if kind == b"jp2c" or 0 < length < begin:
            return
        yield kind, stream.read(min(length - begin, 2**16) if length else 2**16)
        if not length:
            return
        place += length
