"""What a packed frame of DICOM says of itself is compared with the header before a decoder gets it."""

from types import SimpleNamespace
from typing import Any

import pytest

from fo1_data.corpus.dicom.packed_frames import check_packed
from fo1_data.errors import InputReject

# Headers of frames alone: there is nothing in them to decode.
SOI, CODES, SCAN, EOI = b"\xff\xd8", b"\xff\xc4\x00\x02", b"\xff\xda\x00\x02", b"\xff\xd9"


def adobe(transform: int) -> bytes:
    return b"\xff\xee\x00\x0eAdobe\0\0\0\0\0\0" + bytes([transform])


def sof(marker: int = 0xC3, bits: int = 8, height: int = 4, width: int = 6, samples: int = 1) -> bytes:
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes([0xFF, marker, 0, 11, bits]) + size + bytes([samples]) + b"\1\x11\0"


def siz(bits: int = 8, height: int = 4, width: int = 6, samples: int = 1) -> bytes:
    numbers = (width, height, 0, 0, width, height, 0, 0)
    body = b"\0\0" + b"".join(number.to_bytes(4, "big") for number in numbers)
    return b"\xff\x4f\xff\x51\x00\x29" + body + samples.to_bytes(2, "big") + bytes([bits - 1, 1, 1])


class Header(SimpleNamespace):
    def get(self, name: str) -> Any:
        return getattr(self, name, None)


def header(**changes: Any) -> Header:
    values = {"Rows": 4, "Columns": 6, "SamplesPerPixel": 1, "BitsAllocated": 8, "BitsStored": 8, **changes}
    return Header(**values)


def reason(packed: bytes, plugin: str, **changes: Any) -> str:
    with pytest.raises(InputReject) as raised:
        check_packed(packed, plugin, header(**changes))
    assert "\n" not in raised.value.message
    return raised.value.reason


@pytest.mark.parametrize(
    ("packed", "plugin", "changes"),
    [
        (SOI + sof() + CODES + SCAN + EOI, "gdcm", {}),
        (SOI + adobe(1) + sof() + CODES + SCAN + EOI, "gdcm", {}),
        (SOI + sof(bits=16) + CODES + SCAN + EOI, "gdcm", {"BitsAllocated": 16, "BitsStored": 12}),
        (SOI + b"\xff" + sof(0xF7, 12) + SCAN + EOI, "pyjpegls", {"BitsAllocated": 16, "BitsStored": 12}),
        (SOI + sof(0xC0) + CODES + SCAN, "pillow", {}),
        (b"box of a file" + siz(), "pylibjpeg", {}),
        (siz(samples=3), "pylibjpeg", {"SamplesPerPixel": 3}),
        (b"", "pydicom", {}),
    ],
)
def test_a_frame_that_agrees_goes_to_the_decoder(packed: bytes, plugin: str, changes: dict[str, Any]) -> None:
    check_packed(packed, plugin, header(**changes))


@pytest.mark.parametrize(
    ("packed", "plugin", "changes", "expected"),
    [
        (SOI + sof(height=5) + CODES + SCAN + EOI, "gdcm", {}, "other_size"),
        (siz(width=70_000), "pylibjpeg", {}, "other_size"),
        (siz(samples=16_384), "pylibjpeg", {}, "broken"),
        (siz(bits=38), "pylibjpeg", {"BitsAllocated": 16}, "broken"),
        (siz()[:40], "pylibjpeg", {}, "broken"),
        (b"no codestream", "pylibjpeg", {}, "broken"),
        (SOI + sof(samples=3) + CODES + SCAN + EOI, "gdcm", {}, "broken"),
        (SOI + sof(bits=74) + CODES + SCAN + EOI, "gdcm", {}, "broken"),
        (SOI + sof() + CODES + SCAN + EOI, "gdcm", {"BitsStored": 7}, "unsupported"),
        (SOI + sof() + CODES + SCAN + EOI, "gdcm", {"BitsAllocated": 16, "BitsStored": 12}, "unsupported"),
        (SOI + sof() + b"\0\0\0\0" + SCAN + EOI, "gdcm", {}, "broken"),
        (SOI + sof() + SCAN + EOI, "gdcm", {}, "broken"),
        (SOI + sof() + sof() + CODES + SCAN + EOI, "gdcm", {}, "broken"),
        (SOI + sof() + CODES + SCAN, "gdcm", {}, "broken"),
        (SOI + adobe(255) + sof() + CODES + SCAN + EOI, "gdcm", {}, "broken"),
        (SOI + sof(0xF7) + SCAN, "pyjpegls", {}, "broken"),
        (SOI + sof(0xF7), "pyjpegls", {}, "broken"),
        (SOI + SCAN + EOI, "pillow", {}, "broken"),
        (b"", "pillow", {}, "broken"),
    ],
)
def test_a_frame_that_is_cut_off_or_contradicts_its_header_does_not(
    packed: bytes, plugin: str, changes: dict[str, Any], expected: str
) -> None:
    assert reason(packed, plugin, **changes) == expected
