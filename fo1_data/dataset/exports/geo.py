"""Regions on the map: `regions.parquet` (GeoParquet 1.1) or `regions.geojson` (RFC 7946), all splits in one.

A feature is a region: the polygon of its box, its captions, labels and their confidences, and the image and
box it comes from. GeoParquet keeps the coordinate system that all images share, else it is longitude and
latitude, as GeoJSON always is. Polygons run counterclockwise; those in degrees are cut at the antimeridian.
Images without coordinates are left out and counted, and so are regions that reach beyond the globe.
"""

import io
import json
from collections.abc import Iterator
from itertools import compress, pairwise
from typing import Any

import numpy as np

from fo1_data.corpus.map_frames import (
    LON_LAT,
    MapFrame,
    Numbers,
    frame_of_record,
    geo_packages,
    same_crs,
    to_lon_lat,
)
from fo1_data.corpus.rendering import raster_record
from fo1_data.dataset.exports.antimeridian import is_around_pole, polygons_of_ring
from fo1_data.dataset.exports.categories import region_classes
from fo1_data.dataset.light_rows import light_rows
from fo1_data.dataset.reader import Dataset
from fo1_data.dataset.versions.publish import without_stale
from fo1_data.errors import DatasetError
from fo1_data.storage.store import Store
from schemas.images import ImageRow
from schemas.labels import LabelKind
from schemas.regions import TEXT_COLUMNS, Region

# Ten decimals of a degree are a hundredth of a millimetre.
_DECIMALS = 10
# Points on each edge of a box with a pole inside.
_STEPS_AT_POLE = 64
_Placed = tuple[ImageRow, MapFrame]


def export_geoparquet(dataset: Dataset, store: Store) -> dict[str, int]:
    """Write `regions.parquet`; returns how many images, regions, and images and regions without place."""
    geopandas, shapely = geo_packages()
    placed, num_left_out = _placed_rows(dataset, needs_crs=False)
    systems = [frame.crs for _, frame in placed]
    is_shared = all(same_crs(systems[0], crs) for crs in systems)
    if not is_shared and None in systems:
        placed = [(row, frame) for row, frame in placed if frame.crs is not None]
        num_left_out += len(systems) - len(placed)
    placed, num_beyond = (placed, 0) if is_shared else _on_globe(placed)
    is_cut = not is_shared or _is_in_degrees(systems[0])
    polygons: list[Any] = []
    records: list[dict[str, Any]] = []
    for row, frame in placed:
        rings = frame.rings([region.box_xyxy for region in row.regions])
        if not is_cut:
            polygons.extend(shapely.polygons(rings))
        else:
            parts = _polygons(rings, LON_LAT if is_shared else frame.crs or LON_LAT)
            polygons += [_geometry([shapely.Polygon(part) for part in several]) for several in parts]
        records += _properties(row)
    columns = {name: [record[name] for record in records] for name in _PROPERTIES}
    table = geopandas.GeoDataFrame(columns, geometry=polygons, crs=systems[0] if is_shared else LON_LAT)
    # A column without any text or number would be of another type.
    table = table.astype(dict.fromkeys(_TEXTS, "string[pyarrow]") | dict.fromkeys(_NUMBERS, "float64"))
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, schema_version="1.1.0", write_covering_bbox=True)
    store.write_bytes("regions.parquet", buffer.getvalue())
    return _written(len(placed), len(records), num_left_out, num_beyond)


def export_geojson(dataset: Dataset, store: Store) -> dict[str, int]:
    """Write `regions.geojson`; returns how many images, regions, and images and regions without place."""
    geo_packages()
    placed, num_left_out = _placed_rows(dataset, needs_crs=True)
    placed, num_beyond = _on_globe(placed)
    num_regions = sum(len(row.regions) for row, _ in placed)
    store.write_chunks("regions.geojson", _collection(placed))
    return _written(len(placed), num_regions, num_left_out, num_beyond)


def _written(images: int, regions: int, images_left_out: int, regions_left_out: int) -> dict[str, int]:
    return {
        "images": images,
        "regions": regions,
        "images_without_coordinates": images_left_out,
        "regions_without_coordinates": regions_left_out,
    }


def _placed_rows(dataset: Dataset, needs_crs: bool) -> tuple[list[_Placed], int]:
    """The rows with coordinates and their frames, and how many rows have none. DatasetError if none has."""
    placed: list[_Placed] = []
    num_left_out = 0
    for row in map(without_stale, light_rows(dataset, pixels=False)):
        frame = frame_of_record(raster_record(row.meta), (row.width, row.height))
        if frame is None or (needs_crs and frame.crs is None):
            num_left_out += 1
        else:
            placed.append((row, frame))
    if not placed:
        raise DatasetError(
            f"no image of {dataset.store.url} has coordinates: label GeoTIFFs or JPEG 2000 with them"
        )
    return placed, num_left_out


def _on_globe(placed: list[_Placed]) -> tuple[list[_Placed], int]:
    """The rows with the regions whose corners have a longitude and a latitude, and how many have none."""
    kept: list[_Placed] = []
    num_beyond = 0
    for row, frame in placed:
        rings = to_lon_lat(frame.rings([region.box_xyxy for region in row.regions]), frame.crs or LON_LAT)
        is_on_globe = [bool(np.isfinite(ring).all()) for ring in rings]
        if not all(is_on_globe):
            num_beyond += is_on_globe.count(False)
            row = row.model_copy(update={"regions": list(compress(row.regions, is_on_globe))})
        kept.append((row, frame))
    return kept, num_beyond


def _geometry(polygons: list[Any]) -> Any:
    _, shapely = geo_packages()
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)


def _is_in_degrees(crs: str | None) -> bool:
    from pyproj import CRS

    return crs is not None and bool(CRS.from_user_input(crs).is_geographic)


def _collection(placed: list[_Placed]) -> Iterator[bytes]:
    yield b'{"type": "FeatureCollection", "features": ['
    separator = b"\n"
    for row, frame in placed:
        rings = frame.rings([region.box_xyxy for region in row.regions])
        outlines = _polygons(rings, frame.crs or LON_LAT)
        for polygons, properties in zip(outlines, _properties(row), strict=True):
            yield separator + json.dumps(_feature(polygons, properties), ensure_ascii=False).encode()
            separator = b",\n"
    yield b"\n]}\n"


def _polygons(rings: Numbers, crs: str) -> Iterator[list[Numbers]]:
    """The closed rings of longitude and latitude that each ring (N, 5, 2) on a map consists of."""
    for on_map, ring in zip(rings, to_lon_lat(rings, crs), strict=True):
        if is_around_pole(ring):  # between the corners the edges come much nearer to it
            steps = np.arange(_STEPS_AT_POLE)[:, None] / _STEPS_AT_POLE
            edges = [first + steps * (second - first) for first, second in pairwise(on_map)]
            ring = to_lon_lat(np.concatenate([*edges, on_map[-1:]]), crs)
        yield polygons_of_ring(ring)


def _feature(parts: list[Numbers], properties: dict[str, Any]) -> dict[str, Any]:
    polygons = [[np.round(part, _DECIMALS).tolist()] for part in parts]
    is_single = len(polygons) == 1
    geometry = {
        "type": "Polygon" if is_single else "MultiPolygon",
        "coordinates": polygons[0] if is_single else polygons,
    }
    return {"type": "Feature", "id": properties["region_id"], "geometry": geometry, "properties": properties}


_TEXTS = ("region_id", "image_id", "image", "split", "label", "caption", "detailed_caption", "text",
          "box_source", "decision")  # fmt: skip
_CONFIDENCES = tuple(f"{kind.value}_confidence" for kind in (*TEXT_COLUMNS, LabelKind.DETECT))
_NUMBERS = ("objectness", *_CONFIDENCES, "x_min", "y_min", "x_max", "y_max")
_PROPERTIES = (*_TEXTS, "classes", *_NUMBERS)


def _properties(row: ImageRow) -> list[dict[str, Any]]:
    """What a feature says of each region of a row: the same names for all."""
    classes = region_classes(row)
    detected: dict[str, list[float]] = {}
    for part in row.groundings:
        if part.kind is LabelKind.DETECT and part.label.confidence is not None:
            for region_id in part.region_ids:
                detected.setdefault(region_id, []).append(part.label.confidence)
    return [
        _properties_of(row, region, classes[region.region_id], detected.get(region.region_id, []))
        for region in row.regions
    ]


def _properties_of(
    row: ImageRow, region: Region, classes: list[str], detected: list[float]
) -> dict[str, Any]:
    confidences = {label.kind: label.confidence for label in region.labels}
    confidences[LabelKind.DETECT] = max(detected, default=None)
    x_min, y_min, x_max, y_max = region.box_xyxy
    return {
        "region_id": region.region_id,
        "image_id": row.image_id,
        "image": row.uri,
        "split": row.split,
        "label": region.source_label,
        "caption": region.brief_caption,
        "detailed_caption": region.detailed_caption,
        "text": region.text,
        "box_source": region.box_source.value,
        "decision": region.decision.value if region.decision is not None else None,
        "classes": classes,
        "objectness": region.objectness,
        **{name: confidences.get(kind) for name, kind in zip(_CONFIDENCES, _KINDS, strict=True)},
        "x_min": x_min,
        "y_min": y_min,
        "x_max": x_max,
        "y_max": y_max,
    }


_KINDS = (*TEXT_COLUMNS, LabelKind.DETECT)
