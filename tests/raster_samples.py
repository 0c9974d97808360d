"""Small rasters for tests, written by rasterio."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import Affine

UTM = "EPSG:32617"
TRANSFORM = Affine(0.5, 0.0, 400_000.0, 0.0, -0.5, 3_300_000.0)


def ramp(height: int = 20, width: int = 30, low: float = 0, high: float = 100) -> np.ndarray:
    """(H, W) values that rise evenly from low to high, row by row."""
    return np.linspace(low, high, height * width).reshape(height, width)


def write_raster(
    path: Path,
    bands: np.ndarray,
    *,
    colours: tuple[str, ...] = (),
    names: tuple[str, ...] = (),
    mask: np.ndarray | None = None,
    overviews: tuple[int, ...] = (),
    palette: dict[int, tuple[int, int, int, int]] | None = None,
    tags: dict[str, dict[str, str]] | None = None,
    **options: Any,
) -> bytes:
    """Write (B, H, W) bands; returns the file's bytes. options: of `rasterio.open`."""
    count, height, width = bands.shape
    options = {"driver": "GTiff", "crs": UTM, "transform": TRANSFORM, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", width=width, height=height, count=count, dtype=bands.dtype.name, **options
        ) as dataset:
            dataset.write(bands)
            if colours:
                dataset.colorinterp = [rasterio.enums.ColorInterp[name] for name in colours]
            for number, name in enumerate(names, 1):
                dataset.set_band_description(number, name)
            if mask is not None:
                dataset.write_mask(mask)
            if palette is not None:
                dataset.write_colormap(1, palette)
            for domain, items in (tags or {}).items():
                dataset.update_tags(ns=domain, **items)
            if overviews:
                dataset.build_overviews(list(overviews), rasterio.enums.Resampling.average)
    return path.read_bytes()


def turned_tiff(values: np.ndarray, orientation: int) -> bytes:
    """A grey TIFF with coordinates and a TIFF orientation, which rasterio cannot write."""
    from PIL import Image, TiffImagePlugin

    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[274] = orientation
    tags[33550] = (0.5, 0.5, 0.0)
    tags[33922] = (0.0, 0.0, 0.0, 400_000.0, 3_300_000.0, 0.0)
    tags[34735] = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32617)
    tags.tagtype |= {33550: 12, 33922: 12, 34735: 3}
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "TIFF", tiffinfo=tags)
    return buffer.getvalue()
