"""Vector files of a map as boxes of images: GeoParquet, GeoJSON and GeoPackage. Needs the extra `geo`.

A feature's box is the extent of its geometry in the pixels of an image. The image is the one that a property
names (`image`, `image_path`, `file_name`, ...); in a file whose features name none it is every image that the
feature lies on. Of the properties `label` (or `class`, `category`, `name`) is taken, and captions and text,
unless the file is an export of this project: there they are what a model said.
"""

import io
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fo1_data.corpus.map_frames import LON_LAT, MapFrame, geo_packages, same_crs, transformer
from fo1_data.errors import ConfigError, one_line
from fo1_data.storage.addresses import suffix_of
from schemas.corpus import CorpusRegion

VECTOR_SUFFIXES = (".geojson", ".gpkg")
_IMAGE_KEYS = ("image", "image_path", "uri", "url", "path", "file_name", "filename")
_LABEL_KEYS = ("label", "class", "class_name", "category", "name")
_TEXT_KEYS = ("caption", "detailed_caption", "text")
_EXPORTED = "region_id"
_SQLITE = b"SQLite format 3\x00"
# A piece of a feature that reaches less far into an image is left to the image beside it.
_LEAST_PX = 1.0


@dataclass(frozen=True)
class Features:
    """The features of a vector file: shapely geometries in `crs`, and their properties."""

    geometries: Any
    crs: str
    properties: list[dict[str, Any]]

    @cached_property
    def by_image(self) -> dict[str, list[int]]:
        """The features of each image that they name; empty where none names an image."""
        named: dict[str, list[int]] = {}
        for index, fields in enumerate(self.properties):
            name = next((fields[key] for key in _IMAGE_KEYS if fields.get(key)), None)
            if isinstance(name, str):
                named.setdefault(name, []).append(index)
        return named

    def regions(self, indices: list[int], frame: MapFrame) -> list[CorpusRegion]:
        """The regions that features are in an image; they may lie outside of it."""
        boxes = self._boxes(np.array(indices, dtype=np.int64), frame)
        return [self._region(index, box) for index, box in zip(indices, boxes.tolist(), strict=True)]

    def regions_within(self, frame: MapFrame) -> tuple[list[CorpusRegion], list[int]]:
        """The regions that lie on an image, clipped to it, and which features they are."""
        indices = self._near(frame)
        boxes = self._boxes(indices, frame)
        width, height = frame.image_wh
        boxes = np.clip(boxes, 0, [width, height, width, height])
        with np.errstate(invalid="ignore"):
            kept = ((boxes[:, 2:] - boxes[:, :2]) >= _LEAST_PX).all(axis=1)
        chosen = indices[kept].tolist()
        pairs = zip(chosen, boxes[kept].tolist(), strict=True)
        return [self._region(index, box) for index, box in pairs], chosen

    def _region(self, index: int, box: list[float]) -> CorpusRegion:
        fields = self.properties[index]
        label = next((fields[key] for key in _LABEL_KEYS if isinstance(fields.get(key), str)), None)
        keys = () if _EXPORTED in fields else _TEXT_KEYS
        texts = {key: fields[key] for key in keys if isinstance(fields.get(key), str)}
        return CorpusRegion(box_xyxy=(box[0], box[1], box[2], box[3]), label=label, **texts)

    def _near(self, frame: MapFrame) -> Any:
        """The features whose extent, in their own coordinates, meets that of an image."""
        _, shapely = geo_packages()
        corners = frame.corners()
        steps = np.linspace(0, 1, 9)[:, None]
        edges = np.concatenate([first + steps * (second - first) for first, second in pairwise(corners)])
        places = self._convert(edges, frame.crs, self.crs)
        low, high = places.min(axis=0), places.max(axis=0)
        if not np.isfinite([low, high]).all():
            return np.array([], dtype=np.int64)
        return np.sort(self._tree.query(shapely.box(*low, *high)))

    @cached_property
    def _tree(self) -> Any:
        return geo_packages()[1].STRtree(self.geometries)

    def _boxes(self, indices: Any, frame: MapFrame) -> Any:
        """(N, 4) extents of features in the pixels of an image; NaN where they have no geometry."""
        _, shapely = geo_packages()
        centre = frame.corners()[:4].mean(axis=0)

        def to_pixels(places: Any) -> Any:
            converted = self._convert(places, self.crs, frame.crs)
            if frame.crs is not None and same_crs(frame.crs, LON_LAT):
                # The same place may be written a turn of the globe away.
                turns = np.round((converted[:, 0] - centre[0]) / 360.0)
                converted[:, 0] -= 360.0 * turns
            return frame.to_pixels(converted)

        return shapely.bounds(shapely.transform(self.geometries[indices], to_pixels)).reshape(-1, 4)

    def _convert(self, places: Any, source: str | None, target: str | None) -> Any:
        if source is None or target is None or same_crs(source, target):
            return places.copy()
        return np.stack(transformer(source, target).transform(places[:, 0], places[:, 1]), axis=-1)


def is_vector_file(address: str, data: bytes | None = None) -> bool:
    """Whether a file is a vector file: by its suffix, and of Parquet by its `geo` metadata."""
    if suffix_of(address) in VECTOR_SUFFIXES:
        return True
    return suffix_of(address) == ".parquet" and data is not None and _is_geoparquet(data)


def read_features(data: bytes, address: str) -> Features:
    """The features of a vector file, by its bytes. Raises ConfigError."""
    geo_packages()
    try:
        if suffix_of(address) == ".parquet":
            return _from_geoparquet(data)
        return _from_geojson(data) if suffix_of(address) == ".geojson" else _from_geopackage(data)
    except ConfigError as error:
        raise ConfigError(f"{address}: {error}") from None
    except Exception as error:  # shapely, pyogrio and Arrow raise types of their own
        raise ConfigError(f"{address} is not a vector file that can be read: {one_line(error)}") from error


def _is_geoparquet(data: bytes) -> bool:
    try:
        return b"geo" in (pq.read_schema(pa.BufferReader(data)).metadata or {})
    except (pa.ArrowException, OSError, ValueError):
        return False


def _from_geoparquet(data: bytes) -> Features:
    geopandas, _ = geo_packages()
    return _from_table(geopandas.read_parquet(io.BytesIO(data)))


def _from_geopackage(data: bytes) -> Features:
    """By GDAL, of which no other driver is meant to see the file: it must be a database of SQLite."""
    if not data.startswith(_SQLITE):
        raise ConfigError("not a GeoPackage")
    geopandas, _ = geo_packages()
    import pyogrio

    with tempfile.TemporaryDirectory(prefix="fo1-") as folder:
        path = Path(folder) / "features.gpkg"  # GDAL warns of other names
        path.write_bytes(data)
        layers = [name for name, kind in pyogrio.list_layers(path) if kind]
        if len(layers) != 1:
            raise ConfigError(f"holds {len(layers)} layers with geometries: write one into a file of its own")
        return _from_table(geopandas.read_file(path, layer=layers[0]))


def _from_table(table: Any) -> Features:
    if table.crs is None:
        raise ConfigError("says no coordinate system")
    geometries = table.geometry.to_numpy()
    fields = table.drop(columns=[table.geometry.name]).to_dict("records")
    return Features(geometries, table.crs.to_string(), fields)


def _from_geojson(data: bytes) -> Features:
    _, shapely = geo_packages()
    document = json.loads(data)
    if isinstance(document, dict) and isinstance(document.get("crs"), dict):
        name = str(document["crs"].get("properties", {}).get("name", LON_LAT))
    else:
        name = LON_LAT
    features = list(_geojson_features(document))
    texts = [json.dumps(feature.get("geometry")) for feature in features]
    geometries = shapely.from_geojson([None if text == "null" else text for text in texts])
    return Features(geometries, name, [dict(feature.get("properties") or {}) for feature in features])


def _geojson_features(document: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(document, dict) and document.get("type") == "FeatureCollection":
        yield from (feature for feature in document.get("features", []) if isinstance(feature, dict))
    elif isinstance(document, dict) and document.get("type") == "Feature":
        yield document
    else:
        raise ConfigError("not a Feature or a FeatureCollection")
