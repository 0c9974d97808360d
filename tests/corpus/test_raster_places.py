"""Where the pixels of a raster lie: transforms, orientations, control points, world files."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rasterio")

from decoded_rasters import LIMITS, bands_of, decode, pixels, record
from raster_samples import TRANSFORM, UTM, ramp, turned_tiff, write_raster
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine

from fo1_data.corpus.decoding import decode_image, sidecars_of
from fo1_data.corpus.frames import orient_boxes
from fo1_data.corpus.images import decode_rgb
from fo1_data.corpus.raster_kind import raster_trait
from fo1_data.corpus.raster_place import upright_transform
from schemas.corpus import CorpusImage


class TestPlace:
    def test_coordinates_are_kept(self, tmp_path: Path) -> None:
        got = record(write_raster(tmp_path / "a.tif", bands_of(1, 2, 3)))
        assert (got["crs"], got["transform"]) == (UTM, list(TRANSFORM)[:6])

    @pytest.mark.parametrize(
        "transform",
        [
            Affine.translation(4e5, 3e6) @ Affine.rotation(33) @ Affine.scale(0.5, -0.7),
            Affine(0.5, 0.0, 4e5, 0.0, 0.5, 3e6),
        ],
        ids=["rotated", "south up"],
    )
    def test_any_transform_holds(self, tmp_path: Path, transform: Affine) -> None:
        values = ramp(high=255)[None].astype("uint8")
        data = write_raster(tmp_path / "a.tif", values, transform=transform)
        assert record(data)["transform"] == pytest.approx(list(transform)[:6], abs=1e-9)
        assert np.array_equal(pixels(data)[..., 0], values[0]), "pixels stay where the file has them"

    def test_control_points_give_the_transform_that_fits_them(self, tmp_path: Path) -> None:
        points = [
            GroundControlPoint(row, column, *(TRANSFORM @ (column, row)))
            for row, column in ((0, 0), (0, 12), (10, 0), (10, 12))
        ]
        got = record(write_raster(tmp_path / "a.tif", bands_of(1, 2, 3), transform=None, gcps=points))
        assert (got["crs"], got["transform_from"]) == (UTM, "gcps")
        assert got["transform"] == pytest.approx(list(TRANSFORM)[:6], abs=1e-6)
        assert got["gcp_error_px"] < 1e-6

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_orientation_turns_the_picture_and_the_transform(self, orientation: int) -> None:
        values = ramp(6, 9, 0, 255).astype("uint8")
        data = turned_tiff(values, orientation)
        assert raster_trait(data) == "coordinates"
        image = decode(data)
        assert image.orientation == orientation
        assert np.array_equal(np.asarray(image.rgb), np.asarray(decode_rgb(data, LIMITS).rgb))
        # A corner of a stored pixel and of the same upright pixel are one place on Earth.
        box = np.array([[2, 1, 5, 4]], dtype=np.float32)
        upright = orient_boxes(box, (9, 6), orientation)[0]
        transform = Affine(*image.meta["raster"]["transform"])
        places = {tuple(np.round(transform @ corner, 6)) for corner in _corners(upright)}
        assert places == {tuple(np.round(TRANSFORM @ corner, 6)) for corner in _corners(box[0])}

    def test_upright_is_stored_without_an_orientation(self) -> None:
        six = tuple(TRANSFORM)[:6]
        assert upright_transform(six, (9, 6), 1) == six


def _corners(box: np.ndarray) -> list[tuple[float, float]]:
    x_min, y_min, x_max, y_max = box.tolist()
    return [(x, y) for x in (x_min, x_max) for y in (y_min, y_max)]


def test_a_world_file_gives_the_transform(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    data = write_raster(path, np.full((3, 6, 8), 70, dtype="uint8"), crs=None, transform=None)
    (tmp_path / "a.tfw").write_text("2\n0\n0\n-2\n101\n199\n")
    image = decode_image(data, LIMITS, sidecars=sidecars_of(CorpusImage(uri=str(path)), data, LIMITS))
    assert image.meta is not None
    assert image.meta["raster"]["transform"] == [2, 0, 100, 0, -2, 200]
