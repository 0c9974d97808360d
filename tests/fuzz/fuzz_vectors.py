"""Vector files of maps as boxes of images: each feature is attached, or counted with a reason."""

import json
import math
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from changed_bytes import changed_anywhere
from fuzz_outcomes import check_line
from fuzz_target import Runner, check
from made_corpora import damaged
from odd_values import change, num_changes

from fo1_data.corpus.vector_files import is_vector_file
from fo1_data.errors import Fo1Error
from fo1_data.proposals.vector_boxes import VectorBoxes
from schemas.corpus import CorpusImage
from schemas.rasters import RasterRecord
from schemas.sources import ContentKind

_PLACES = (("EPSG:32617", (0.5, 0.0, 400_000.0, 0.0, -0.5, 3_300_000.0)), ("OGC:CRS84", None))


@contextmanager
def vectors(folder: Path) -> Iterator[Runner]:
    samples = {suffix: _file(folder, suffix) for suffix in ("parquet", "gpkg")}
    entries = _entries()

    def run(chance: random.Random) -> str:
        # A database takes ten times as long as a text.
        suffix = chance.choices(("geojson", "parquet", "gpkg"), (90, 8, 2))[0]
        data = _geojson(chance) if suffix == "geojson" else changed_anywhere(samples[suffix], chance)
        first = _paired(f"features.{suffix}", data, entries)
        if chance.random() < 0.1:
            check(first == _paired(f"features.{suffix}", data, entries), "read in two ways")
        return f"{suffix}: {first[0]}"

    yield run
    shutil.rmtree(folder, ignore_errors=True)


def _paired(name: str, data: bytes, entries: list[CorpusImage]) -> tuple[str, Any]:
    if not is_vector_file(name, data):
        return "another file", None
    try:
        boxes = VectorBoxes(name, data)
        placed, rejects, account = boxes.pair_with(entries)
    except Fo1Error as error:
        check_line(str(error))
        return "refused", str(error)
    for part in rejects:
        check_line(part.message)
        part.model_dump_json()
    account.model_validate(account.model_dump())
    lost = account.rejected.get(ContentKind.BOXES, 0)
    check(not lost or bool(rejects), lost, "features are lost without a reason")
    attached = sum(len(entry.regions or []) for entry in placed)
    check(attached >= account.attached[ContentKind.BOXES], attached, "boxes of", account)
    for entry in placed:
        CorpusImage.model_validate_json(entry.model_dump_json())
        if not boxes.names_images:
            _check_inside(entry)
    return "read", [[entry.model_dump_json() for entry in placed], account.model_dump()]


def _check_inside(entry: CorpusImage) -> None:
    for region in entry.regions or []:
        left, top, right, bottom = region.box_xyxy
        is_inside = 0 <= left < right <= (entry.width or 0) and 0 <= top < bottom <= (entry.height or 0)
        check(is_inside and all(map(math.isfinite, region.box_xyxy)), region, "of", entry.name)


def _entries() -> list[CorpusImage]:
    """Two images with coordinates, and one without, of which no file is read."""
    entries = []
    for number, (crs, transform) in enumerate(_PLACES):
        transform = transform or (0.001, 0.0, -82.1, 0.0, -0.001, 29.9)
        record = RasterRecord(bands=[1], stretch="none", limits=[], crs=crs, transform=transform)
        meta = {"raster": record.model_dump(mode="json", exclude_none=True)}
        entries.append(CorpusImage(uri=f"/c/{number}.tif", width=100, height=80, meta=meta))
    return [*entries, CorpusImage(uri="/c/plain.png", width=10, height=8)]


def _document(chance: random.Random) -> dict[str, Any]:
    features: list[Any] = []
    for number in range(chance.randint(0, 4)):
        x, y = -82.1 + 0.09 * chance.random(), 29.83 + 0.06 * chance.random()
        ring = [[x, y], [x + 0.01, y], [x + 0.01, y + 0.01], [x, y + 0.01], [x, y]]
        geometry = chance.choice(
            (
                {"type": "Polygon", "coordinates": [ring]},
                {"type": "Point", "coordinates": [x, y]},
                {"type": "LineString", "coordinates": ring[:3]},
                {"type": "MultiPolygon", "coordinates": [[ring], [ring]]},
                {"type": "GeometryCollection", "geometries": []},
                None,
            )
        )
        names = {"image": chance.choice(("0.tif", "1.tif", "plain.png", "no.tif"))}
        properties = {"label": f"thing {number}", "caption": "a thing", "area": 2.5}
        is_named = chance.random() < 0.3
        features.append(
            {"type": "Feature", "geometry": geometry, "properties": properties | (names if is_named else {})}
        )
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    return {"type": "FeatureCollection", "features": features} | (
        {"crs": crs} if chance.random() < 0.2 else {}
    )


def _geojson(chance: random.Random) -> bytes:
    document = _document(chance)
    change(document, chance, num_changes(chance))
    if chance.random() < 0.01:
        return chance.choice(("[" * 30_000, '{"type":' * 30_000, "\0")).encode()
    return damaged(json.dumps(document, default=str), chance)[0]


def _file(folder: Path, suffix: str) -> bytes:
    """Three features as a GeoParquet or a GeoPackage."""
    import geopandas
    import shapely

    boxes = [shapely.box(-82.1 + at / 100, 29.85, -82.09 + at / 100, 29.86) for at in range(3)]
    table = geopandas.GeoDataFrame({"label": ["a", "b", "c"]}, geometry=boxes, crs="OGC:CRS84")
    path = folder / f"sample.{suffix}"
    if suffix == "parquet":
        table.to_parquet(path)
    else:
        table.to_file(path, driver="GPKG")
    return path.read_bytes()
