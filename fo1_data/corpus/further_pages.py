"""Pages and frames of a picture's file after the first, which no row shows: their number goes to `meta`."""

from collections.abc import Mapping
from contextlib import suppress
from typing import IO

from PIL import Image

from fo1_data.corpus.raster_kind import num_tiff_pages

# The key of `meta` that says how many there are.
FURTHER_PAGES = "further_pages"
# Previews and gain maps beside a photograph, and layers of a picture, are no pages.
_ONE_PICTURE = ("MPO", "PSD")


def further_pages(image: Image.Image, file: IO[bytes]) -> Mapping[str, int] | None:
    """What `meta` says of the pages after the first of an open picture; None if there are none.

    file: the picture's, which is moved. No pixels are decoded. Pages that are too damaged to be counted count
    as none: the first one is good.
    """
    with suppress(Exception):
        if image.format == "TIFF":
            return meta_of_pages(num_tiff_pages(file))
        if image.format not in _ONE_PICTURE:
            return meta_of_pages(getattr(image, "n_frames", 1))
    return None


def meta_of_pages(num_pages: int) -> Mapping[str, int] | None:
    """What `meta` says of a file with so many pages; None for one."""
    return {FURTHER_PAGES: num_pages - 1} if num_pages > 1 else None
