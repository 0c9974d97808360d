"""Any bytes become an upright RGB image or a reject with its reason; no other error is raised."""

import io
import json
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fo1_data.corpus.images import (
    TRANSPOSE_OF_ORIENTATION,
    InputLimits,
    decode_rgb,
    image_id_of,
)
from fo1_data.errors import InputReject

LIMITS = InputLimits()
FORMATS = (
    "JPEG",
    "PNG",
    "GIF",
    "TIFF",
    "WEBP",
    "BMP",
    "PPM",
    "ICO",
    "TGA",
    "JPEG2000",
    "AVIF",
    "QOI",
    "PCX",
    "SGI",
)


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def picture(width: int = 24, height: int = 16) -> Image.Image:
    rng = np.random.default_rng(5)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def refused(data: bytes, limits: InputLimits = LIMITS) -> InputReject:
    with pytest.raises(InputReject) as caught:
        decode_rgb(data, limits)
    assert caught.value.stage == "decode"
    assert caught.value.message
    assert "\n" not in caught.value.message
    assert not caught.value.replayable
    return caught.value


def ended_well(data: bytes, limits: InputLimits) -> None:
    """Decoded whole and within the limits, or refused with a reason; anything else fails."""
    try:
        image = decode_rgb(data, limits)
    except InputReject as error:
        problem = error
    else:
        assert (image.rgb.mode, image.rgb.size) == ("RGB", (image.width, image.height))
        assert image.width * image.height <= limits.max_pixels
        assert len(image.rgb.tobytes()) == image.width * image.height * 3
        return
    assert (problem.stage, bool(problem.reason)) == ("decode", True)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


# --- formats and colour modes


@pytest.mark.parametrize("image_format", FORMATS)
def test_the_content_decides_the_format(image_format: str) -> None:
    size = (32, 32) if image_format == "ICO" else (24, 16)
    data = encoded(picture(*size), image_format)
    image = decode_rgb(data, LIMITS)
    assert (image.rgb.mode, image.rgb.size, image.stored_wh, image.orientation) == ("RGB", size, size, 1)
    assert image.image_id == image_id_of(data)


@pytest.mark.parametrize(
    ("mode", "image_format"),
    [
        ("1", "PNG"),
        ("L", "PNG"),
        ("P", "GIF"),
        ("CMYK", "JPEG"),
        ("CMYK", "TIFF"),
        ("YCbCr", "TIFF"),
        ("LAB", "TIFF"),
    ],
)
def test_modes_without_transparency(mode: str, image_format: str) -> None:
    source = picture().convert("RGB")
    source = Image.new("LAB", source.size, (200, 120, 130)) if mode == "LAB" else source.convert(mode)
    data = encoded(source, image_format)
    expected = Image.open(io.BytesIO(data)).convert("RGB")
    assert np.array_equal(pixels(decode_rgb(data, LIMITS).rgb), pixels(expected))


def over_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None].astype(float) / 255
    return rgb * share + 255 * (1 - share)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_composited_over_white(mode: str) -> None:
    alpha = np.tile(np.linspace(0, 255, 24).astype(np.uint8), (16, 1))
    colour = np.full((16, 24, 3), (200, 10, 60), dtype=np.uint8)
    rgba = Image.fromarray(np.dstack([colour, alpha]))
    if mode == "P":
        data = encoded(rgba.quantize(64), "PNG")
    else:
        data = encoded(rgba.convert(mode), "PNG")
    opened = Image.open(io.BytesIO(data)).convert("RGBA")
    rgb, found_alpha = pixels(opened)[..., :3], pixels(opened)[..., 3]
    got = pixels(decode_rgb(data, LIMITS).rgb).astype(float)
    assert np.abs(got - over_white(rgb, found_alpha)).max() <= 1.5
    assert (got[found_alpha == 0] == 255).all()


def test_a_transparent_colour_is_white() -> None:
    grey = Image.fromarray(np.array([[0, 77, 200]], dtype=np.uint8))
    assert pixels(decode_rgb(encoded(grey, "PNG", transparency=77), LIMITS).rgb)[0, :, 0].tolist() == [
        0,
        255,
        200,
    ]
    deep = Image.fromarray(np.array([[0, 777, 65535]], dtype=np.uint16))
    data = with_chunk(encoded(deep, "PNG"), b"tRNS", struct.pack(">H", 777))
    assert pixels(decode_rgb(data, LIMITS).rgb)[0, :, 0].tolist() == [0, 255, 255]


def with_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """A PNG with a chunk put before its pixels."""
    at = png.index(b"IDAT") - 4
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return png[:at] + chunk + png[at:]


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_by_its_range(image_format: str) -> None:
    values = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(8, 32)
    got = pixels(decode_rgb(encoded(Image.fromarray(values), image_format), LIMITS).rgb)
    assert np.abs(got[..., 0].astype(float) - values / 257.0).max() <= 1.0
    assert (got[..., 0] == got[..., 2]).all()


def test_16_bit_colour_is_scaled_by_its_range() -> None:
    values = np.zeros((1, 3, 3), dtype=">u2")
    values[0, :, 0] = [0, 32768, 65535]
    raw = b"\0" + values.tobytes()
    header = struct.pack(">IIBBBBB", 3, 1, 16, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in parts
    )
    assert pixels(decode_rgb(png, LIMITS).rgb)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 100.0, 255.0]], np.float32), [0, 100, 255]),
        (np.array([[-10.0, 0.0, 10.0]], np.float32), [0, 128, 255]),
        (np.array([[np.nan, 0.0, np.inf]], np.float32), [0, 0, 255]),
        (np.array([[np.nan, np.nan, np.nan]], np.float32), [0, 0, 0]),
        (np.array([[7, 8, 200]], np.int32), [7, 8, 200]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
        (np.array([[-100000, 0, 100000]], np.int32), [0, 128, 255]),
        (np.array([[-5, -5, -5]], np.int32), [0, 0, 0]),
    ],
)
def test_32_bit_values_without_a_range(values: np.ndarray, expected: list[int]) -> None:
    got = pixels(decode_rgb(encoded(Image.fromarray(values), "TIFF"), LIMITS).rgb)[0, :, 1]
    assert np.abs(got.astype(int) - expected).max() <= 1


def test_large_images_are_converted_as_small_ones(tmp_path: Path) -> None:
    """An image of over 4 megapixels, which is converted in strips, of copies of a small one."""
    alpha = np.random.default_rng(1).integers(0, 256, (50, 31, 4), dtype=np.uint8)
    deep = np.random.default_rng(1).integers(0, 65536, (50, 31), dtype=np.uint16)
    for tile, copies in ((alpha, (42, 68, 1)), (deep, (42, 68))):
        small, large = (
            pixels(decode_rgb(encoded(Image.fromarray(array), "PNG", compress_level=1), LIMITS).rgb)
            for array in (tile, np.tile(tile, copies))
        )
        assert large.shape[0] * large.shape[1] > 2**22
        assert np.array_equal(large, np.tile(small, (42, 68, 1)))


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_many(image_format: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    options = {"lossless": True} if image_format == "WEBP" else {}
    data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:], **options)
    assert pixels(decode_rgb(data, LIMITS).rgb)[4, 4].tolist() == [255, 0, 0]


# --- orientation


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(image_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    if image_format == "AVIF":
        data = encoded(picture(), image_format, exif=exif.tobytes(), quality=100)
        stored = Image.open(io.BytesIO(encoded(picture(), image_format, quality=100)))
    else:
        data = encoded(picture(), image_format, exif=exif)
        stored = Image.open(io.BytesIO(encoded(picture(), image_format)))
    image = decode_rgb(data, LIMITS)
    method = TRANSPOSE_OF_ORIENTATION.get(orientation)
    upright = stored if method is None else stored.transpose(method)
    assert (image.orientation, image.stored_wh) == (orientation, (24, 16))
    assert (image.width, image.height) == upright.size
    assert np.array_equal(pixels(image.rgb), pixels(upright.convert("RGB")))


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_invalid_orientation(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    assert decode_rgb(encoded(picture(), "JPEG", exif=exif), LIMITS).orientation == 1


def test_broken_metadata_does_not_reject_the_image() -> None:
    data = encoded(picture(), "JPEG")
    broken = data[:2] + b"\xff\xe1\x00\x20Exif\0\0II*\0\xff\xff\xff\xff" + b"\xff" * 14 + data[2:]
    image = decode_rgb(broken, LIMITS)
    assert (image.orientation, image.rgb.size) == (1, (24, 16))


# --- limits


def test_pixels_are_limited_from_the_header() -> None:
    data = encoded(picture(100, 100), "PNG")
    assert decode_rgb(data, InputLimits(max_pixels=10_000)).width == 100
    reject = refused(data, InputLimits(max_pixels=9_999))
    assert reject.reason == "too_many_pixels"
    assert "100 x 100" in reject.message


def png_bomb(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(10_000_000), 9)
    parts = [(b"IHDR", header), (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in parts
    )


@pytest.mark.parametrize("size", [(100_000, 100_000), (2**31 - 1, 1), (20_000, 8_000)])
def test_bombs_are_refused(size: tuple[int, int]) -> None:
    assert refused(png_bomb(*size)).reason == "too_many_pixels"


def test_slow_codecs_have_a_lower_limit() -> None:
    qoi = b"qoif" + struct.pack(">IIBB", 9_000, 9_000, 3, 0) + b"\xfd" * 2_000_000 + bytes(7) + b"\1"
    assert refused(qoi).reason == "too_many_pixels"


def test_nothing_that_starts_a_program_is_opened() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    assert refused(eps).reason == "not_an_image"
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40
    assert refused(heic).reason == "not_an_image"
    assert "convert the file to JPEG" in str(refused(heic))
    assert "make pictures of its pages" in str(refused(b"%PDF-1.7 of a scanner"))
    assert "unpack it" in str(refused(b"PK\x03\x04" + bytes(40)))
    assert refused(b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF\n").reason == "not_an_image"
    assert refused(b"").reason == "empty"
    assert refused(b"<svg xmlns='http://www.w3.org/2000/svg'/>").reason == "not_an_image"


@pytest.mark.parametrize("image_format", FORMATS)
def test_half_a_file_is_refused_or_decoded(image_format: str) -> None:
    data = encoded(picture(64, 64), image_format)
    for cut in range(0, len(data), max(1, len(data) // 40)):
        ended_well(data[:cut], LIMITS)


def test_a_truncated_jpeg_is_refused_as_such() -> None:
    data = encoded(picture(200, 200), "JPEG")
    assert refused(data[: len(data) // 2]).reason == "truncated"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_flipped_bytes_end_as_an_image_or_a_reject(data: st.DataObject) -> None:
    image_format = data.draw(st.sampled_from(FORMATS))
    broken = bytearray(encoded(picture(32, 32), image_format))
    for _ in range(data.draw(st.integers(1, 8))):
        # Headers are where a wrong byte does most.
        place = data.draw(st.integers(0, min(len(broken), 200) - 1) | st.integers(0, len(broken) - 1))
        broken[place] = data.draw(st.integers(0, 255))
    ended_well(bytes(broken), InputLimits(max_pixels=2_000_000))


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_bytes_end_as_an_image_or_a_reject(data: bytes) -> None:
    ended_well(data, LIMITS)


# --- warnings and threads


def test_warnings_are_noted_and_not_raised(corpora: Path) -> None:
    data = (corpora / "bad_inputs/images/exif_broken/sugarshack_bad_mpo_header.jpg").read_bytes()
    before = list(warnings.filters)
    image = decode_rgb(data, LIMITS)
    assert any("MPO" in note for note in image.notes)
    assert warnings.filters == before


def test_threads_decode_in_parallel_and_keep_their_own_notes(corpora: Path) -> None:
    noisy = (corpora / "bad_inputs/images/exif_broken/sugarshack_bad_mpo_header.jpg").read_bytes()
    quiet = encoded(picture(), "PNG")
    notes_by_thread: dict[int, list[tuple[str, ...]]] = {}
    before, show = list(warnings.filters), warnings.showwarning

    def work(number: int) -> None:
        notes_by_thread[number] = [
            decode_rgb(noisy if number % 2 else quiet, LIMITS).notes for _ in range(10)
        ]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(
        bool(notes) == bool(number % 2) for number, lists in notes_by_thread.items() for notes in lists
    )
    assert len(notes_by_thread) == 6
    assert (warnings.filters, warnings.showwarning) == (before, show)


# --- the real ones


def test_every_bad_input_has_the_result_of_pillow(corpora: Path) -> None:
    lines = (corpora / "bad_inputs/manifest.jsonl").read_text().splitlines()
    for record in map(json.loads, lines):
        expected = record["pillow"]
        data = (corpora / "bad_inputs" / record["image"]).read_bytes()
        if expected.get("load") == "ok":
            image = decode_rgb(data, LIMITS)
            assert image.orientation == (expected.get("exif_orientation") or 1), record["image"]
            assert list(image.stored_wh) == expected["size"], record["image"]
        else:
            refused(data)


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "WEBP", "PNG"])
def test_of_several_pages_the_first_is_read(kind: str) -> None:
    pages = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    stream = io.BytesIO()
    pages[0].save(stream, kind, save_all=True, append_images=pages[1:])
    red, green, blue = pixels(decode_rgb(stream.getvalue(), LIMITS).rgb)[3, 3]
    assert red > 200 > 60 > max(green, blue)
