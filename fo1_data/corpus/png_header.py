"""A PNG without its pixels, for what its other chunks say.

The chunk with the EXIF data may follow the pixels, so Pillow decodes a whole PNG before it says that there is
none: a few kilobytes can become a gigabyte.
"""

import mmap
import struct
from collections.abc import Iterator

_SIGNATURE_BYTES = 8
_PIXELS = (b"IDAT", b"acTL", b"fcTL", b"fdAT")
_NO_PIXELS = bytes.fromhex("00000000") + b"IDAT" + bytes.fromhex("35af061e")
_END = b"IEND"


def without_png_pixels(data: bytes | mmap.mmap) -> bytes:
    """The same PNG with an empty chunk of pixels after all others; a chunk that is cut off is left out."""
    chunks = b"".join(chunk for chunk in _chunks(data) if chunk[4:8] not in _PIXELS)
    return data[:_SIGNATURE_BYTES] + chunks + _NO_PIXELS


def _chunks(data: bytes | mmap.mmap) -> Iterator[bytes]:
    """Every whole chunk before the end: its length, type, content and checksum."""
    start = _SIGNATURE_BYTES
    while start + 12 <= len(data):
        stop = start + 12 + struct.unpack_from(">I", data, start)[0]
        if stop > len(data) or data[start + 4 : start + 8] == _END:
            return
        yield data[start:stop]
        start = stop
