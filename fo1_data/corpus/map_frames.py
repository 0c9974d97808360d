"""Boxes between the pixels of a raster and the coordinates of its map. Needs the extra `geo`.

Pixel boxes: (N, 4) x_min y_min x_max y_max in the upright image. A box on the map is the polygon of its four
corners: a transform may turn or shear it. Longitude and latitude are in this order, in degrees (OGC:CRS84).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fo1_data.errors import ConfigError
from schemas.rasters import AffineSix, RasterRecord

LON_LAT = "OGC:CRS84"
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MapFrame:
    """Where an image lies: its coordinate system (None: not known), transform, and size in pixels."""

    crs: str | None
    transform: AffineSix
    image_wh: tuple[int, int]

    def rings(self, boxes_xyxy: npt.ArrayLike) -> Numbers:
        """(N, 5, 2) closed rings of boxes in map coordinates, counterclockwise whatever the transform."""
        x_min, y_min, x_max, y_max = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4).T
        columns = np.stack([x_min, x_max, x_max, x_min, x_min], axis=1)
        rows = np.stack([y_max, y_max, y_min, y_min, y_max], axis=1)
        a, b, c, d, e, f = self.transform
        rings = np.stack([a * columns + b * rows + c, d * columns + e * rows + f], axis=2)
        return counterclockwise(rings)

    def to_pixels(self, places: Numbers) -> Numbers:
        """(M, 2) columns and rows of (M, 2) map coordinates."""
        a, b, c, d, e, f = self.transform
        inverse = np.linalg.inv(np.array([[a, b], [d, e]]))
        with np.errstate(invalid="ignore", over="ignore"):
            pixels: Numbers = (places - np.array([c, f])) @ inverse.T
        return pixels

    def corners(self) -> Numbers:
        """(5, 2) the closed ring of the whole image."""
        ring: Numbers = self.rings([[0, 0, *self.image_wh]])[0]
        return ring


def frame_of_record(record: RasterRecord | None, image_wh: tuple[int, int]) -> MapFrame | None:
    """The frame that a row or a file records; None without a transform that can be inverted."""
    if record is None or record.transform is None:
        return None
    a, b, _, d, e, _ = record.transform
    if not a * e - b * d or not np.isfinite(record.transform).all():
        return None
    return MapFrame(record.crs, record.transform, image_wh)


def counterclockwise(rings: Numbers) -> Numbers:
    """(N, 5, 2) closed rings, reversed where they run clockwise (RFC 7946, 3.1.6)."""
    x, y = rings[..., 0], rings[..., 1]
    twice_area = (x[:, :-1] * y[:, 1:] - x[:, 1:] * y[:, :-1]).sum(axis=1)
    return np.where((twice_area < 0)[:, None, None], rings[:, ::-1], rings)


@lru_cache(maxsize=64)
def transformer(source: str, target: str) -> Any:
    """pyproj's transformer between two coordinate systems, x or longitude first. Raises ConfigError."""
    geo_packages()
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    try:
        return Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"coordinates of {source[:60]!a} cannot become {target[:60]!a}: {reason}") from None


def to_lon_lat(places: Numbers, crs: str) -> Numbers:
    """Map coordinates (..., 2) as longitude and latitude."""
    lon, lat = transformer(crs, LON_LAT).transform(places[..., 0], places[..., 1])
    return np.stack([lon, lat], axis=-1)


def same_crs(first: str | None, second: str | None) -> bool:
    """Whether two coordinate systems are one, x or longitude first in both. ConfigError if one is none."""
    if first == second:
        return True
    if first is None or second is None:
        return False
    geo_packages()
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return bool(CRS.from_user_input(first).equals(CRS.from_user_input(second), ignore_axis_order=True))
    except CRSError as error:
        raise ConfigError(
            f"{first[:60]!a} or {second[:60]!a}: {' '.join(str(error).split())[:200]}"
        ) from None


def geo_packages() -> tuple[Any, Any]:
    """The packages geopandas and shapely. Raises ConfigError, which names the extra, without them."""
    try:
        import geopandas
        import shapely
    except ImportError:
        raise ConfigError("maps need the packages geopandas and rasterio: install fo1-data[geo]") from None
    return geopandas, shapely
