"""Regions on the map: out as GeoParquet and GeoJSON, and back in as boxes and as gold."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from factories import make_dataset, make_region, make_row
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rasterio")
pytest.importorskip("geopandas")

import geopandas
from raster_samples import UTM, write_raster
from rasterio.transform import Affine

from fo1_data.corpus.decoding import decode_image
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.map_frames import MapFrame
from fo1_data.corpus.vector_files import Features
from fo1_data.dataset.exports.antimeridian import polygons_of_ring
from fo1_data.dataset.exports.export import export_dataset
from fo1_data.dataset.reader import open_dataset
from fo1_data.errors import ConfigError, DatasetError
from fo1_data.judging.gold_files import load_gold_of
from fo1_data.proposals.boxes_files import load_boxes_file
from fo1_data.proposals.file_boxes import FileBoxes
from schemas.corpus import CorpusImage
from schemas.images import ImageRow
from schemas.sources import ContentKind

SHARED = Path(__file__).parents[3] / "shared" / "domain-data" / "geo"
TRANSFORMS = {
    "north up": Affine(0.1, 0, 404_211.9, 0, -0.1, 3_285_142.9),
    "rotated": Affine.translation(404_211.9, 3_285_142.9) @ Affine.rotation(37) @ Affine.scale(0.1, -0.1),
    "south up": Affine(0.1, 0, 404_211.9, 0, 0.1, 3_285_142.9),
}
BOXES = [(203.0, 67.0, 227.0, 90.0), (0.0, 0.0, 400.0, 300.0), (10.25, 20.5, 11.75, 299.9)]


def scene(folder: Path, name: str, transform: Affine, crs: str | None = UTM) -> ImageRow:
    """The row of a raster that is written to `folder`."""
    data = write_raster(folder / name, np.zeros((1, 300, 400), np.uint8), transform=transform, crs=crs)
    assert data
    image_id = name.encode().hex().ljust(64, "0")
    meta = {"raster": {"bands": [1], "stretch": "none", "limits": [[0, 255]], "crs": crs,
                       "transform": list(transform)[:6]}}  # fmt: skip
    regions = [
        make_region(image_id, index, box).model_copy(update={"source_label": f"roof {index}"})
        for index, box in enumerate(BOXES)
    ]
    uri = str(folder / name)
    return make_row(0, num_regions=0).model_copy(
        update={"image_id": image_id, "uri": uri, "uris": [uri], "width": 400, "height": 300,
                "meta": json.dumps(meta), "regions": regions}
    )  # fmt: skip


def export(folder: Path, rows: list[ImageRow], form: str) -> Path:
    make_dataset(folder / "ds", rows)
    export_dataset(str(folder / "ds"), form, str(folder / form))
    return next((folder / form).glob("regions.*"))


@pytest.mark.parametrize("form", ["geoparquet", "geojson"])
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_boxes_come_back_to_the_pixels_they_left(tmp_path: Path, form: str, transform: Affine) -> None:
    row = scene(tmp_path, "a.tif", transform)
    file = export(tmp_path, [row], form)
    entries, rejects, account = load_boxes_file(str(file)).pair_with([CorpusImage(uri=row.uri)])
    got = np.array([region.box_xyxy for region in entries[0].regions or []])
    assert np.abs(got - np.array(BOXES)).max() < 0.001
    assert [region.label for region in entries[0].regions or []] == ["roof 0", "roof 1", "roof 2"]
    assert (rejects, account.found, account.attached) == ([], {ContentKind.BOXES: 3}, {ContentKind.BOXES: 3})


def test_geoparquet_says_its_system_its_boxes_and_what_was_labelled(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    file = export(tmp_path, [scene(tmp_path, "a.tif", TRANSFORMS["north up"])], "geoparquet")
    geo = json.loads(pq.read_schema(file).metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert geo["columns"]["geometry"]["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    table = geopandas.read_parquet(file)
    assert table.crs.to_string() == UTM
    assert table.geometry.exterior.is_ccw.all()
    assert {"label", "caption", "brief_caption_confidence", "split", "image", "x_min"} <= set(table.columns)


def test_images_of_several_systems_meet_in_degrees(tmp_path: Path) -> None:
    rows = [
        scene(tmp_path, "a.tif", TRANSFORMS["north up"]),
        scene(tmp_path, "b.tif", Affine(1e-5, 0, -81.99, 0, -1e-5, 29.7), "EPSG:4326"),
        scene(tmp_path, "c.tif", TRANSFORMS["rotated"], None),
    ]
    file = export(tmp_path, rows, "geoparquet")
    table = geopandas.read_parquet(file)
    assert table.crs.to_string() == "OGC:CRS84"
    assert (len(table), table.geometry.bounds.minx.between(-82, -81).all()) == (6, True)


def test_geojson_follows_rfc_7946(tmp_path: Path) -> None:
    file = export(tmp_path, [scene(tmp_path, "a.tif", TRANSFORMS["south up"])], "geojson")
    document = json.loads(file.read_text())
    assert "crs" not in document
    for feature in document["features"]:
        assert feature["id"] == feature["properties"]["region_id"]
        [ring] = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        assert all(-82 < lon < -81 and 29 < lat < 30 for lon, lat in ring)
        x, y = np.array(ring).T
        assert (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() > 0, "clockwise"


def test_boxes_on_the_antimeridian_are_cut_and_come_back(tmp_path: Path) -> None:
    """An image that ends at 182 degrees east, as GDAL writes it, or lies around there in a projection."""
    for number, (transform, crs) in enumerate(
        (
            (Affine(0.01, 0, 178.0, 0, -0.01, -15.0), "EPSG:4326"),
            (Affine(500, 0, 720_000, 0, -500, 8_200_000), "EPSG:32760"),
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        row = scene(folder, "a.tif", transform, crs)
        file = export(folder, [row], "geojson")
        features = json.loads(file.read_text())["features"]
        assert features[1]["geometry"]["type"] == "MultiPolygon"
        lon = np.array([point[0] for part in features[1]["geometry"]["coordinates"] for point in part[0]])
        assert (np.abs(lon) <= 180).all()
        [entry], _, _ = load_boxes_file(str(file)).pair_with([CorpusImage(uri=row.uri)])
        got = np.array([region.box_xyxy for region in entry.regions or []])
        assert np.abs(got[0] - BOXES[0]).max() < 0.01


def test_geoparquet_in_degrees_is_cut_at_the_antimeridian(tmp_path: Path) -> None:
    row = scene(tmp_path, "a.tif", Affine(0.01, 0, 178.0, 0, -0.01, -15.0), "EPSG:4326")
    file = export(tmp_path, [row], "geoparquet")
    table = geopandas.read_parquet(file)
    assert table.crs.to_string() == "EPSG:4326"
    assert all(part.exterior.is_ccw for part in table.geometry.explode())
    assert table.geometry.bounds.abs().to_numpy().max() <= 180
    assert table.geometry.set_crs(UTM, allow_override=True).area.to_numpy() == pytest.approx(
        [(box[2] - box[0]) * (box[3] - box[1]) * 1e-4 for box in BOXES]
    )
    [entry], _, _ = load_boxes_file(str(file)).pair_with([CorpusImage(uri=row.uri)])
    got = np.array([region.box_xyxy for region in entry.regions or []])
    assert np.abs(got - np.array(BOXES)).max() < 0.01


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3413", 90), ("EPSG:3031", -90)])
def test_a_box_around_a_pole_has_it_inside_and_comes_back(tmp_path: Path, crs: str, pole: int) -> None:
    """The whole image, and no other box, has the pole: it is at column 250, row 200."""
    row = scene(tmp_path, "a.tif", Affine(1000, 0, -250_000, 0, -1000, 200_000), crs)
    file = export(tmp_path, [row], "geojson")
    table = geopandas.read_file(file)
    assert (table.geometry.is_valid.all(), table.geometry.exterior.is_ccw.all()) == (True, True)
    spans = table.geometry.bounds
    assert spans.miny.eq(-90).tolist() == [False, pole < 0, False]
    assert spans.maxy.eq(90).tolist() == [False, pole > 0, False]
    assert (spans.maxx - spans.minx).eq(360).tolist() == [False, True, False]
    [entry], _, _ = load_boxes_file(str(file)).pair_with([CorpusImage(uri=row.uri)])
    got = np.array([region.box_xyxy for region in entry.regions or []])
    assert np.abs(got - np.array(BOXES)).max() < 0.1


@pytest.mark.parametrize("form", ["geoparquet", "geojson"])
def test_boxes_that_reach_beyond_the_globe_are_left_out_and_counted(tmp_path: Path, form: str) -> None:
    """The disk of the Earth as a satellite sees it does not fill the corners of its pictures."""
    geostationary = "+proj=geos +h=35785831 +lon_0=0 +sweep=y +ellps=WGS84"
    rows = [
        scene(tmp_path, "a.tif", Affine(27_500, 0, -5_500_000, 0, -37_000, 5_500_000), geostationary),
        scene(tmp_path, "b.tif", TRANSFORMS["north up"]),
    ]
    make_dataset(tmp_path / "ds", rows)
    written = export_dataset(str(tmp_path / "ds"), form, str(tmp_path / form))
    assert written == {
        "images": 2, "regions": 4, "images_without_coordinates": 0, "regions_without_coordinates": 2
    }  # fmt: skip
    file = next((tmp_path / form).glob("regions.*"))
    table = geopandas.read_parquet(file) if form == "geoparquet" else geopandas.read_file(file)
    assert (len(table), bool(np.isfinite(table.geometry.bounds.to_numpy()).all())) == (4, True)


@given(st.floats(-180, 180), st.floats(-60, 60), st.floats(0.001, 40), st.floats(0.001, 20))
@settings(max_examples=60, deadline=None)
def test_a_cut_ring_keeps_its_area(lon: float, lat: float, width: float, height: float) -> None:
    x = (np.array([lon, lon + width, lon + width, lon, lon]) + 180) % 360 - 180
    ring = np.stack([x, np.array([lat, lat, lat + height, lat + height, lat])], axis=1)
    parts = polygons_of_ring(ring)
    areas = [((p[:-1, 0] * p[1:, 1]) - (p[1:, 0] * p[:-1, 1])).sum() / 2 for p in parts]
    assert sum(areas) == pytest.approx(width * height, rel=1e-6, abs=1e-9)
    assert all((np.abs(part[:, 0]) <= 180 + 1e-9).all() for part in parts)


def test_features_without_a_name_belong_to_the_images_they_lie_on(tmp_path: Path) -> None:
    """Buildings of a city from a GeoPackage in another coordinate system, over two images side by side."""
    left, right = TRANSFORMS["north up"], TRANSFORMS["north up"] @ Affine.translation(400, 0)
    rows = [scene(tmp_path, "a.tif", left), scene(tmp_path, "b.tif", right)]
    frame = MapFrame(UTM, tuple(left)[:6], (400, 300))
    rings = frame.rings([(10, 10, 50, 60), (380, 100, 430, 140), (5_000, 0, 5_010, 9)])
    import shapely

    table = geopandas.GeoDataFrame(
        {"class": ["house", "hall", "far"]}, geometry=shapely.polygons(rings), crs=UTM
    ).to_crs("EPSG:3857")
    table.to_file(tmp_path / "city.gpkg", layer="buildings")
    entries, rejects, account = load_boxes_file(str(tmp_path / "city.gpkg")).pair_with(
        [CorpusImage(uri=row.uri) for row in rows]
    )
    got = [[np.round(region.box_xyxy, 1).tolist() for region in entry.regions or []] for entry in entries]
    assert got == [[[10, 10, 50, 60], [380, 100, 400, 140]], [[0, 100, 30, 140]]]
    assert [region.label for region in entries[0].regions or []] == ["house", "hall"]
    assert account.rejected == {ContentKind.BOXES: 1}
    assert "lies on no image" in rejects[0].message


def test_a_vector_file_is_gold_by_the_coordinates_of_rows(tmp_path: Path) -> None:
    row = scene(tmp_path, "a.tif", TRANSFORMS["rotated"])
    file = export(tmp_path, [row], "geoparquet")
    Path(row.uri).unlink()
    listing = load_gold_of(str(file), open_dataset(str(tmp_path / "ds")))
    [entry] = listing.entries
    assert (entry.uri, entry.width, entry.height) == (row.uri, 400, 300)
    got = np.array([region.box_xyxy for region in entry.regions or []])
    assert np.abs(got - np.array(BOXES)).max() < 0.001
    assert entry.regions is not None
    assert entry.regions[0].caption is None, "what a model said is no gold"


def test_a_table_of_boxes_without_geo_metadata_is_no_map(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist([{"image": "a.tif", "boxes": [[1.0, 2.0, 3.0, 4.0]]}]),
                   tmp_path / "boxes.parquet")  # fmt: skip
    assert isinstance(load_boxes_file(str(tmp_path / "boxes.parquet")), FileBoxes)


def test_what_is_no_vector_file_is_one_clear_line(tmp_path: Path) -> None:
    for name, text in (
        ("a.geojson", "{"),
        ("b.geojson", '{"type": "Point"}'),
        ("c.gpkg", "<OGRVRTDataSource/>"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match=name) as caught:
            load_boxes_file(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_a_dataset_without_coordinates_says_so(tmp_path: Path) -> None:
    make_dataset(tmp_path / "ds", [make_row(0)])
    with pytest.raises(DatasetError, match="coordinates"):
        export_dataset(str(tmp_path / "ds"), "geojson", str(tmp_path / "out"))


def test_features_are_read_once_for_all_images() -> None:
    import shapely

    features = Features(shapely.points([[1.0, 2.0]]), UTM, [{}])
    assert features.by_image == {}


@pytest.mark.skipif(not (SHARED / "OSBS_029.csv").exists(), reason="the shared rasters are not here")
@pytest.mark.parametrize("form", ["geoparquet", "geojson"])
def test_the_trees_of_a_photograph_from_the_air_go_to_a_map_and_back(tmp_path: Path, form: str) -> None:
    path = SHARED / "OSBS_029.tif"
    with (SHARED / "OSBS_029.csv").open() as lines:
        trees = list(csv.DictReader(lines))
    corners = [tuple(float(tree[name]) for name in ("xmin", "ymin", "xmax", "ymax")) for tree in trees]
    assert len(corners) == 61
    photograph = decode_image(path.read_bytes(), InputLimits())
    regions = [
        make_region(photograph.image_id, index, box).model_copy(update={"source_label": "Tree"})
        for index, box in enumerate(corners)
    ]
    row = make_row(0, num_regions=0).model_copy(
        update={"image_id": photograph.image_id, "uri": str(path), "uris": [str(path)],
                "width": photograph.width, "height": photograph.height, "regions": regions,
                "meta": json.dumps(photograph.meta)}
    )  # fmt: skip
    file = export(tmp_path, [row], form)
    if form == "geoparquet":
        assert geopandas.read_parquet(file).crs.to_string() == UTM
    entries, rejects, _ = load_boxes_file(str(file)).pair_with([CorpusImage(uri=row.uri)])
    got = entries[0].regions or []
    assert rejects == []
    assert {region.label for region in got} == {"Tree"}
    assert np.abs(np.array([region.box_xyxy for region in got]) - np.array(corners)).max() < 0.01


@pytest.mark.parametrize("name", ["no such place", "EPSG:0", 7, ["EPSG:4326"], "a\nb"])
def test_coordinates_of_no_known_system_are_refused_in_one_line(tmp_path: Path, name: object) -> None:
    scene(tmp_path, "a.tif", TRANSFORMS["north up"])
    point = {"type": "Point", "coordinates": [0, 0]}
    crs = {"type": "name", "properties": {"name": name}}
    document = {"type": "Feature", "geometry": point, "properties": {}, "crs": crs}
    (tmp_path / "a.geojson").write_text(json.dumps(document))
    with pytest.raises(ConfigError) as caught:
        load_boxes_file(str(tmp_path / "a.geojson")).pair_with([CorpusImage(uri=str(tmp_path / "a.tif"))])
    assert "\n" not in str(caught.value)
