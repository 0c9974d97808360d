"""What a packed frame says of itself, compared with the header before a decoder gets it.

Decoders follow what the frame says, to any size, and some of them end the process or take hours over a frame
that is cut off or that contradicts the header. A frame of run lengths says nothing of itself.
"""

from dataclasses import dataclass
from typing import Any

from fo1_data.corpus.dicom.files import refused, without_quotes

_SOF = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_SOS, _DHT, _END = 0xDA, 0xC4, b"\xff\xd9"
# The segment in which the transform of the colours is declared: none, YCbCr or YCCK.
_ADOBE, _MOST_TRANSFORM = 0xEE, 2
# Plugins of pydicom whose decoders go on without end, or end the process, where a frame is cut off.
_NEED_END = ("gdcm", "pyjpegls")


@dataclass(frozen=True)
class _Said:
    """What a frame says: width and height, bits of a value, and how many values a pixel has."""

    wh: tuple[int, int]
    bits: int
    samples: int


def check_packed(packed: bytes, plugin: str, header: Any) -> None:
    """Refuse a packed frame that is cut off, or says another size or kind of values than its header.

    plugin: that of pydicom that decodes it. Raises InputReject.
    """
    if plugin == "pydicom":
        return
    with without_quotes("packed pixels"):
        said = _of_jpeg_2000(packed) if plugin == "pylibjpeg" else _of_jpeg(packed, plugin)
        columns_rows = int(header.Columns), int(header.Rows)
        samples = int(header.get("SamplesPerPixel") or 1)
        allocated, stored = int(header.get("BitsAllocated") or 8), int(header.get("BitsStored") or 8)
    if said.wh != columns_rows:
        raise refused("other_size", f"the header says {columns_rows} pixels, the packed frame {said.wh}")
    if said.samples != samples:
        raise refused("broken", f"the header says {samples} values a pixel, the packed frame {said.samples}")
    if said.bits > max(allocated, 8):
        raise refused("broken", f"the header says {allocated} bits, the packed frame {said.bits}")
    if plugin == "gdcm" and not (stored == said.bits == 8 if allocated == 8 else said.bits > 8):
        message = f"the header says {stored} of {allocated} bits, the packed frame {said.bits}"
        raise refused("unsupported", f"{message}: no installed decoder reads this")


def _of_jpeg_2000(packed: bytes) -> _Said:
    """Of the segment SIZ (ITU-T T.800, A.5.1): two lengths, far and near corners, tiles, components."""
    start = packed.find(b"\xff\x4f\xff\x51", 0, 512)
    if start < 0 or len(packed) < start + 43:
        raise refused("broken", "the packed frame does not begin as JPEG 2000 does")
    x_max, y_max, x_min, y_min = (
        int.from_bytes(packed[start + at : start + at + 4], "big") for at in (8, 12, 16, 20)
    )
    bits = (packed[start + 42] & 0x7F) + 1
    return _Said((x_max - x_min, y_max - y_min), bits, int.from_bytes(packed[start + 40 : start + 42], "big"))


def _of_jpeg(packed: bytes, plugin: str) -> _Said:
    """Of the one frame header before the first scan, of JPEG and JPEG-LS (ITU-T T.81, B.2.2)."""
    said: _Said | None = None
    has_codes = False
    at = 2 if packed[:2] == b"\xff\xd8" else len(packed)
    while at + 4 <= len(packed) and packed[at] == 0xFF:
        marker = packed[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _ALONE:
            at += 2
            continue
        if marker == _SOS:
            break
        if marker in _SOF and at + 10 <= len(packed):
            if said is not None:
                raise refused("broken", "the packed frame says its size twice")
            height, width = (int.from_bytes(packed[at + n : at + n + 2], "big") for n in (5, 7))
            said = _Said((width, height), packed[at + 4], packed[at + 9])
        has_codes |= marker == _DHT
        is_adobe = marker == _ADOBE and packed[at + 2 : at + 9] == b"\x00\x0eAdobe"
        if plugin == "gdcm" and is_adobe and packed[at + 15 : at + 16] > bytes([_MOST_TRANSFORM]):
            raise refused("broken", "the packed frame has a colour transform that JPEG does not know")
        at += 2 + int.from_bytes(packed[at + 2 : at + 4], "big")
    is_at_scan = packed[at : at + 2] == bytes([0xFF, _SOS])
    if said is None or not is_at_scan or (plugin == "gdcm" and not has_codes):
        raise refused("broken", "the packed frame does not begin as JPEG does")
    if plugin in _NEED_END and packed.rfind(_END) < at:
        raise refused("broken", "the packed frame is cut off")
    return said
