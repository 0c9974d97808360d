"""Decodes made-up rasters as a run does, for the tests of rasters."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rasterio")


from fo1_data.corpus.decoding import decode_image
from fo1_data.corpus.images import DecodedImage, InputLimits
from fo1_data.corpus.rendering import Rendering
from fo1_data.errors import InputReject

LIMITS = InputLimits()
SHARED = Path(__file__).parents[3] / "shared" / "domain-data" / "geo"


def decode(data: bytes, **rendering: object) -> DecodedImage:
    return decode_image(data, LIMITS, Rendering(**rendering))


def pixels(data: bytes, **rendering: object) -> np.ndarray:
    return np.asarray(decode(data, **rendering).rgb)


def record(data: bytes, **rendering: object) -> dict:
    return dict(decode(data, **rendering).meta["raster"])


def refused(data: bytes, **rendering: object) -> InputReject:
    with pytest.raises(InputReject) as caught:
        decode(data, **rendering)
    assert "\n" not in caught.value.message
    return caught.value


def bands_of(*levels: int, dtype: str = "uint16") -> np.ndarray:
    """Flat bands of these values; a few pixels are 0 and 1000 (255 of 8 bits), so that each has a range."""
    bands = np.stack([np.full((10, 12), level) for level in levels]).astype(dtype)
    bands[:, 0, :3], bands[:, 0, 3:6] = 0, min(1000, np.iinfo(dtype).max)
    return bands
