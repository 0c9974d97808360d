"""The size of an image from its header: what decoding gives, without the memory that decoding takes."""

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from fo1_data.corpus.images import InputLimits, decode_rgb, read_oriented_wh
from fo1_data.errors import InputReject

LIMITS = InputLimits()
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "AVIF", "GIF", "BMP", "PPM", "ICO", "ICNS", "TGA", "JPEG2000")


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def encoded(image_format: str, orientation: int) -> bytes:
    size = (32, 32) if image_format in ("ICO", "ICNS") else (24, 16)
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, image_format, exif=exif_of(orientation).tobytes())
    return buffer.getvalue()


def with_last_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """The PNG with a chunk behind its pixels."""
    chunk = kind + content
    return (
        png[:-12] + struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[-12:]
    )


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("image_format", FORMATS)
def test_is_the_size_of_the_decoded_image(image_format: str, orientation: int) -> None:
    data = encoded(image_format, orientation)
    image = decode_rgb(data, LIMITS)
    assert read_oriented_wh(data, LIMITS) == (image.width, image.height)


def test_a_png_may_say_it_behind_its_pixels() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 16)).save(buffer, "PNG")
    turned = with_last_chunk(buffer.getvalue(), b"eXIf", exif_of(6).tobytes().removeprefix(b"Exif\0\0"))
    assert decode_rgb(turned, LIMITS).rgb.size == (16, 24)
    assert read_oriented_wh(turned, LIMITS) == (16, 24)
    assert read_oriented_wh(turned[:-30], LIMITS) == (24, 16)


def test_agrees_with_decoding_on_bad_inputs(corpora: Path) -> None:
    lines = (corpora / "bad_inputs/manifest.jsonl").read_text().splitlines()
    for record in map(json.loads, lines):
        data = (corpora / "bad_inputs" / record["image"]).read_bytes()
        try:
            image = decode_rgb(data, LIMITS)
        except InputReject:
            continue
        assert read_oriented_wh(data, LIMITS) == (image.width, image.height), record["image"]


def test_limits_hold_for_the_header() -> None:
    with pytest.raises(InputReject, match="over the limit"):
        read_oriented_wh(encoded("PNG", 1), InputLimits(max_pixels=100))
    with pytest.raises(InputReject, match="no bytes"):
        read_oriented_wh(b"", LIMITS)
    with pytest.raises(InputReject, match="not an image"):
        read_oriented_wh(b"GIF is no image", LIMITS)


MEASURE = """
import sys
from fo1_data.corpus.images import InputLimits, read_oriented_wh
data = open(sys.argv[1], "rb").read()
def high_water_kib():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
Image = read_oriented_wh.__globals__["Image"]; Image.init()
before = high_water_kib()
print(*read_oriented_wh(data, InputLimits()), high_water_kib() - before)
"""


def test_a_small_file_of_a_huge_image_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    Image.new("1", (9_900, 9_900)).save(path, compress_level=9)
    assert path.stat().st_size < 20_000
    command = [sys.executable, "-c", MEASURE, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    width, height, more_kib = map(int, run.stdout.split())
    assert (width, height) == (9_900, 9_900)
    assert more_kib < 20_000
