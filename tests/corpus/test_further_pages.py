"""A file with several pages says how many no row shows."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from fo1_data.corpus.decoding import decode_image
from fo1_data.corpus.further_pages import FURTHER_PAGES
from fo1_data.corpus.images import InputLimits, decode_rgb, read_frame

LIMITS = InputLimits()


def pages_of(mode: str = "RGB") -> list[Image.Image]:
    return [Image.new(mode, (24, 16), value) for value in (0, 90, 200)]


def encoded(form: str, pages: list[Image.Image], **options: Any) -> bytes:
    buffer = io.BytesIO()
    pages[0].save(buffer, form, save_all=True, append_images=pages[1:], **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["TIFF", "GIF", "PNG", "WEBP", "AVIF"])
def test_pages_after_the_first_are_counted(form: str) -> None:
    data = encoded(form, pages_of())
    image = decode_rgb(data, LIMITS)
    assert image.meta == {FURTHER_PAGES: 2}
    assert read_frame(data, LIMITS).meta == image.meta
    assert np.asarray(image.rgb).max() < 9, "the first one is shown"
    assert decode_rgb(encoded(form, pages_of()[:1]), LIMITS).meta is None


def test_the_second_picture_of_a_photograph_is_no_page() -> None:
    assert decode_rgb(encoded("MPO", pages_of()), LIMITS).meta is None


@pytest.mark.parametrize("kind", [1, 4])
def test_overviews_and_masks_are_no_pages(kind: int) -> None:
    """TIFF 6.0, tag 254: bit 0 is a smaller picture of another page, bit 2 a mask."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254] = kind
    pages = pages_of("L")
    pages[1].encoderinfo = {"tiffinfo": tags}
    data = encoded("TIFF", pages)
    assert (decode_image(data, LIMITS).meta or {}).get(FURTHER_PAGES) == 1


def test_a_raster_says_it_too(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((16, 24), value, np.uint16)) for value in (9, 90, 900)]
    meta = decode_image(encoded("TIFF", pages), LIMITS).meta
    assert meta is not None
    assert (meta[FURTHER_PAGES], "raster" in meta) == (2, True)


def test_damage_behind_the_first_page_is_no_reason_to_reject() -> None:
    data = encoded("TIFF", pages_of())
    whole = decode_rgb(data, LIMITS)
    cut = decode_rgb(data[: len(data) - 100], LIMITS)
    assert cut.rgb.tobytes() == whole.rgb.tobytes()
