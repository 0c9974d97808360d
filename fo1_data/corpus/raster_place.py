"""Where a raster lies on Earth: its coordinate system and the transform of the upright image's pixels.

A file without a transform but with ground control points gets the affine transform that fits them best, and
the largest distance, in pixels, of a point from where it says.
"""

from typing import Any

import numpy as np

from schemas.rasters import AffineSix


def place_of(dataset: Any, orientation: int, world: bytes | None = None) -> dict[str, Any]:
    """The fields of a `RasterRecord` that say where an open rasterio dataset lies.

    world: the world file beside it, which counts where the file itself says nothing.
    """
    points, points_crs = dataset.gcps
    place: dict[str, Any]
    if not dataset.transform.is_identity:
        stored, place = six_of(dataset.transform), {"transform_from": "file"}
        crs = dataset.crs
    elif (from_world := _world_transform(world)) is not None:
        stored, place, crs = from_world, {"transform_from": "world_file"}, dataset.crs
    elif len(points) >= 3:
        stored, error_px = _fit_points(points)
        place = {"transform_from": "gcps", "gcp_error_px": error_px}
        crs = points_crs or dataset.crs
    else:
        return {"crs": crs_text(dataset.crs)}
    upright = upright_transform(stored, (dataset.width, dataset.height), orientation)
    return {"crs": crs_text(crs), "transform": upright, **place}


def _world_transform(world: bytes | None) -> AffineSix | None:
    """The transform of a world file: six lines (a, d, b, e, x and y of the first pixel's centre)."""
    try:
        a, d, b, e, x, y = map(float, (world or b"").split()[:6])
    except ValueError:
        return None
    return (a, b, x - (a + b) / 2, d, e, y - (d + e) / 2)


def crs_text(crs: Any) -> str | None:
    """`EPSG:N` where a coordinate system is exactly that one, else its WKT; None for none."""
    if not crs:
        return None
    code = crs.to_authority(confidence_threshold=100)
    return f"{code[0]}:{code[1]}" if code is not None and code[0] == "EPSG" else crs.to_wkt()


def six_of(transform: Any) -> AffineSix:
    """The numbers of an `affine.Affine` in their order a to f."""
    return tuple(float(value) for value in tuple(transform)[:6])  # type: ignore[return-value]


def upright_transform(stored: AffineSix, stored_wh: tuple[int, int], orientation: int) -> AffineSix:
    """The transform of an image's upright pixels, from that of its stored ones (see `orient_boxes`)."""
    width, height = stored_wh
    # Stored x and y of an upright pixel corner, as (per column, per row, constant).
    along, back = (1, 0, 0), (-1, 0, width)
    down, up = (0, 1, 0), (0, -1, height)
    by_row, by_row_back = (0, 1, 0), (0, -1, width)
    by_column, by_column_back = (1, 0, 0), (-1, 0, height)
    stored_x, stored_y = {
        1: (along, down),
        2: (back, down),
        3: (back, up),
        4: (along, up),
        5: (by_row, by_column),
        6: (by_row, by_column_back),
        7: (by_row_back, by_column_back),
        8: (by_row_back, by_column),
    }[orientation]
    a, b, c, d, e, f = stored
    turned = np.array([[a, b, c], [d, e, f], [0, 0, 1]]) @ np.array([stored_x, stored_y, (0, 0, 1)])
    return tuple(float(value) for value in turned[:2].ravel())  # type: ignore[return-value]


def _fit_points(points: Any) -> tuple[AffineSix, float]:
    """Least squares of an affine transform to control points (column, row -> x, y); its error in pixels."""
    pixels = np.array([(point.col, point.row, 1.0) for point in points])
    places = np.array([(point.x, point.y) for point in points])
    centre = places.mean(axis=0)  # coordinates of millions of metres would cost digits
    solution, *_ = np.linalg.lstsq(pixels, places - centre, rcond=None)
    (a, d), (b, e), (c, f) = solution.tolist()
    c, f = c + float(centre[0]), f + float(centre[1])
    back = np.linalg.pinv(np.array([[a, b], [d, e]]))
    errors = (places - centre - pixels @ solution) @ back.T
    return (a, b, c, d, e, f), float(np.round(np.abs(errors).max(), 6))
