"""JPEGs decoded by libjpeg-turbo have Pillow's pixels bit for bit, or are left to Pillow."""

import io
import random

import numpy as np
import pytest
from factories import make_boxes, make_image
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.corpus.plain_jpeg import decode_plain_jpeg
from fo1_data.errors import InputReject

simplejpeg = pytest.importorskip("simplejpeg")

MAX_PIXELS = InputLimits().max_pixels


def pillow_pixels(data):
    """The upright pixels that Pillow gives; None for a reject."""
    try:
        return np.array(decode_rgb(data, InputLimits()).rgb)
    except InputReject:
        return None


def jpeg(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def scene(width, height):
    return make_image(1, width, height, make_boxes(3, max(width, 9), max(height, 9)))


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    st.integers(1, 100),
    st.sampled_from([{}, {"progressive": True}, {"optimize": True}, {"restart_marker_blocks": 2}]),
    st.sampled_from(["RGB", "L"]),
)
def test_pixels_are_those_of_pillow(width, height, subsampling, quality, options, mode):
    options = {**options, "subsampling": subsampling} if mode == "RGB" else options
    data = jpeg(scene(width, height).convert(mode), quality=quality, **options)
    assert np.array_equal(decode_plain_jpeg(data, 1, MAX_PIXELS), pillow_pixels(data))


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440", "411", "Gray"])
@pytest.mark.parametrize("size", [(64, 48), (37, 21), (1, 5)])
def test_every_subsampling_has_the_pixels_of_pillow(subsampling, size):
    pixels = np.ascontiguousarray(np.asarray(scene(*size)))
    data = simplejpeg.encode_jpeg(pixels, quality=80, colorsubsampling=subsampling)
    assert np.array_equal(decode_plain_jpeg(data, 1, MAX_PIXELS), pillow_pixels(data))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_rotated_images_are_turned_as_pillow_turns_them(orientation, mode):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = jpeg(scene(31, 18).convert(mode), exif=exif)
    pixels = decode_plain_jpeg(data, orientation, MAX_PIXELS)
    assert np.array_equal(pixels, pillow_pixels(data))
    assert pixels.flags.c_contiguous


def test_colours_stored_as_rgb_and_bytes_behind_the_image_change_nothing():
    for data in (jpeg(scene(40, 30), keep_rgb=True), jpeg(scene(40, 30)) + b"more"):
        assert np.array_equal(decode_plain_jpeg(data, 1, MAX_PIXELS), pillow_pixels(data))


def test_what_is_no_plain_jpeg_is_left_to_pillow():
    cmyk = jpeg(scene(40, 30).convert("CMYK"))
    png = io.BytesIO()
    scene(40, 30).save(png, "PNG")
    for data in (b"", b"\xff\xd8\xff", cmyk, png.getvalue(), jpeg(scene(40, 30))[:-2]):
        assert decode_plain_jpeg(data, 1, MAX_PIXELS) is None
    assert decode_plain_jpeg(jpeg(scene(40, 30)), 1, 40 * 30 - 1) is None
    assert decode_plain_jpeg(jpeg(scene(40, 30)), 1, 40 * 30) is not None


def test_a_damaged_jpeg_has_pillows_pixels_or_is_left_to_pillow():
    rng = random.Random(0)
    whole = [jpeg(scene(60, 44), quality=quality, subsampling=part) for quality, part in ((40, 2), (90, 0))]
    num_decoded = 0
    for _ in range(600):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.choice((1, 1, 3))):
            data[rng.randrange(2, len(data))] = rng.randrange(256)
        length = rng.choice((len(data), rng.randrange(4, len(data))))
        pixels = decode_plain_jpeg(bytes(data[:length]), 1, MAX_PIXELS)
        if pixels is not None:
            num_decoded += 1
            assert np.array_equal(pixels, pillow_pixels(bytes(data[:length])))
    assert num_decoded > 50
