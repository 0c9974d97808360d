"""Rasters: which bands are shown, how values become brightness, what has no data, and where pixels lie."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

pytest.importorskip("rasterio")

from factories import encode
from raster_samples import TRANSFORM, UTM, ramp, turned_tiff, write_raster
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine

from fo1_data.corpus.decoding import decode_image, sidecars_of
from fo1_data.corpus.frames import orient_boxes
from fo1_data.corpus.images import DecodedImage, InputLimits, decode_rgb
from fo1_data.corpus.raster_kind import raster_trait
from fo1_data.corpus.raster_place import upright_transform
from fo1_data.corpus.raster_stretch import band_limits, to_levels
from fo1_data.corpus.rasters import open_raster
from fo1_data.corpus.readers import load_listing
from fo1_data.corpus.rendering import Rendering
from fo1_data.errors import InputReject
from schemas.corpus import CorpusImage
from schemas.jobs import RunConfig
from schemas.sources import ContentKind

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


class TestBands:
    def test_colours_of_the_file_decide_not_the_order(self, tmp_path: Path) -> None:
        data = write_raster(
            tmp_path / "a.tif", bands_of(200, 400, 800, 7), colours=("blue", "green", "red", "nir")
        )
        assert pixels(data)[5, 5].tolist() == [204, 102, 51]
        assert record(data)["bands"] == [3, 2, 1]

    def test_names_of_bands_decide_before_the_colours_that_a_writer_assumes(self, tmp_path: Path) -> None:
        bands = bands_of(200, 90, 50, dtype="uint8")
        data = write_raster(tmp_path / "a.tif", bands, names=("Blue (480 nm)", "Green (560)", "red"))
        assert record(data)["bands"] == [3, 2, 1]
        assert pixels(data)[5, 5].tolist() == [50, 90, 200]

    @pytest.mark.parametrize("names", [("B02", "B03", "B04", "B08"), ("b", "g", "r", "red edge")])
    def test_short_names_of_bands(self, tmp_path: Path, names: tuple[str, ...]) -> None:
        data = write_raster(tmp_path / "a.tif", bands_of(1, 2, 3, 4), names=names)
        assert (record(data)["bands"], record(data)["bands_by"]) == ([3, 2, 1], "descriptions")

    def test_infrared_is_not_red(self, tmp_path: Path) -> None:
        names = ("near infrared", "red edge", "green", "blue")
        assert (
            record(write_raster(tmp_path / "a.tif", bands_of(1, 2, 3, 4), names=names))["bands_by"] == "order"
        )

    def test_bands_without_a_meaning_are_shown_in_their_order(self, tmp_path: Path) -> None:
        data = write_raster(tmp_path / "a.tif", bands_of(800, 400, 200, 4, 5))
        assert (record(data)["bands"], record(data)["bands_by"]) == ([1, 2, 3], "order")
        assert pixels(data)[5, 5].tolist() == [204, 102, 51]

    def test_bands_that_are_asked_for(self, tmp_path: Path) -> None:
        data = write_raster(tmp_path / "a.tif", bands_of(800, 400, 200, 4, 5))
        assert pixels(data, bands=(3, 2, 1))[5, 5].tolist() == [51, 102, 204]
        assert len(set(pixels(data, bands=(2,))[5, 5].tolist())) == 1
        assert refused(data, bands=(6, 2, 1)).reason == "no_such_band"

    def test_bands_of_a_plain_picture_can_be_asked_for(self) -> None:
        image = Image.new("RGB", (8, 6), (10, 20, 30))
        assert pixels(encode(image, "TIFF"))[0, 0].tolist() == [10, 20, 30]
        assert pixels(encode(image, "TIFF"), bands=(3, 2, 1))[0, 0].tolist() == [30, 20, 10]

    def test_an_alpha_band_with_the_name_of_something_else_is_data(self, tmp_path: Path) -> None:
        bands = bands_of(50, 60, 70, 0, dtype="uint8")
        named = write_raster(tmp_path / "a.tif", bands, names=("red", "green", "blue", "nir"))
        assert pixels(named)[5, 5].tolist() == [50, 60, 70]
        assert pixels(write_raster(tmp_path / "b.tif", bands))[5, 5].tolist() == [255, 255, 255]

    def test_a_palette_gives_its_colours(self, tmp_path: Path) -> None:
        indices = np.tile(np.arange(4, dtype=np.uint8), (6, 2))[None]
        palette = {0: (0, 0, 0, 255), 1: (200, 30, 0, 255), 2: (0, 90, 250, 255), 3: (9, 9, 9, 255)}
        data = write_raster(tmp_path / "a.tif", indices, palette=palette, nodata=3)
        assert pixels(data)[0, :4].tolist() == [[0, 0, 0], [200, 30, 0], [0, 90, 250], [255, 255, 255]]


class TestStretch:
    def test_few_values_of_sixteen_bits_fill_the_range(self, tmp_path: Path) -> None:
        data = write_raster(tmp_path / "a.tif", ramp(low=310, high=340)[None].astype("uint16"))
        got = pixels(data)
        assert (got.min(), got.max()) == (0, 255)
        assert record(data)["stretch"] == "2,98"

    def test_limits_are_percentiles_of_the_values_with_data(self, tmp_path: Path) -> None:
        values = ramp(low=0, high=3000)
        values[:5] = -9999
        data = write_raster(tmp_path / "a.tif", values[None].astype("int16"), nodata=-9999)
        known = np.round(values[5:]).astype("int16")
        (limits,) = record(data)["limits"]
        assert limits == pytest.approx(np.percentile(known, [2, 98]), abs=1)
        assert (pixels(data)[:5] == 255).all(), "nodata is white"

    def test_minmax_and_none(self, tmp_path: Path) -> None:
        data = write_raster(tmp_path / "a.tif", ramp(low=1000, high=2000)[None].astype("uint16"))
        assert record(data, stretch="minmax")["limits"] == [[1000.0, 2000.0]]
        plain = pixels(data, stretch="none")
        assert (plain.min(), plain.max()) == (round(1000 / 257), round(2000 / 257))

    def test_eight_bits_are_shown_as_they_are_unless_told(self, tmp_path: Path) -> None:
        data = write_raster(tmp_path / "a.tif", ramp(low=40, high=60)[None].astype("uint8"))
        assert (pixels(data).min(), pixels(data).max()) == (40, 60)
        assert (pixels(data, stretch="2,98").min(), pixels(data, stretch="2,98").max()) == (0, 255)

    @pytest.mark.parametrize("nodata", [float("nan"), -3.4e38, None])
    def test_floats_without_data_never_count(self, tmp_path: Path, nodata: float | None) -> None:
        values = ramp(high=0.25).astype("float32")
        values[:4] = np.nan if nodata is None else nodata
        data = write_raster(tmp_path / "a.tif", values[None], nodata=nodata)
        got = pixels(data)
        assert (got[:4] == 255).all()
        assert (got[4:].min(), got[4:].max()) == (0, 255)
        assert record(data)["limits"][0] == pytest.approx([0.055, 0.246], abs=0.003)

    def test_twelve_bits_in_sixteen_have_their_own_full_range(self, tmp_path: Path) -> None:
        data = write_raster(tmp_path / "a.tif", ramp(high=4095)[None].astype("uint16"), nbits=12)
        assert pixels(data, stretch="none").max() == 255

    def test_a_band_of_one_value_gets_no_contrast(self, tmp_path: Path) -> None:
        data = write_raster(tmp_path / "a.tif", np.full((1, 8, 9), 10_000, dtype="uint16"))
        assert np.unique(pixels(data)).tolist() == [39]

    def test_where_most_values_are_equal_the_rest_is_still_seen(self, tmp_path: Path) -> None:
        values = np.zeros((1, 40, 40), dtype="uint16")
        values[0, 3:6, 3:6] = 700
        assert np.unique(pixels(write_raster(tmp_path / "a.tif", values))).tolist() == [0, 255]

    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    def test_white_is_zero_is_turned(self, tmp_path: Path, dtype: str) -> None:
        values = ramp(low=0, high=np.iinfo(dtype).max)[None].astype(dtype)
        black = pixels(write_raster(tmp_path / "a.tif", values), stretch="none")
        white = pixels(write_raster(tmp_path / "b.tif", values, photometric="MINISWHITE"), stretch="none")
        assert np.array_equal(white, 255 - black)

    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    def test_pillow_turns_white_is_zero_too(self, tmp_path: Path, dtype: str) -> None:
        values = ramp(low=0, high=np.iinfo(dtype).max)[None].astype(dtype)
        options = {"photometric": "MINISWHITE", "crs": None, "transform": None}
        turned = decode_rgb(write_raster(tmp_path / "a.tif", values, **options), LIMITS).rgb
        assert np.asarray(turned)[0, 0, 0] == 255
        assert np.asarray(turned)[-1, -1, 0] == 0

    @given(
        arrays(np.float64, (4, 5), elements=st.floats(-1e300, 1e300)),
        arrays(np.bool_, (4, 5)),
        st.sampled_from(["2,98", "0,100", "minmax", "none"]),
    )
    @settings(max_examples=100, deadline=None)
    def test_levels_keep_the_order_of_values(
        self, values: np.ndarray, valid: np.ndarray, stretch: str
    ) -> None:
        limits = band_limits(values, valid, stretch)
        levels = to_levels(values[None], [limits])[0]
        order = np.argsort(values, axis=None)
        assert (np.diff(levels.ravel()[order].astype(int)) >= 0).all()

    def test_settings_are_checked(self) -> None:
        for wrong in ({"bands": [1, 2]}, {"bands": [0, 1, 2]}, {"stretch": "98,2"}, {"stretch": "2,101"},
                      {"stretch": "auto"}):  # fmt: skip
            with pytest.raises(ValueError, match="bands|stretch"):
                RunConfig(corpus="x", out="y", **wrong)
        assert RunConfig(corpus="x", out="y", bands="3,2,1").bands == [3, 2, 1]


class TestNoData:
    def test_all_nodata_is_a_reject(self, tmp_path: Path) -> None:
        data = write_raster(tmp_path / "a.tif", np.zeros((4, 9, 9), dtype="uint16"), nodata=0)
        assert (refused(data).reason, refused(data).stage) == ("all_nodata", "decode")

    def test_a_pixel_has_data_if_any_shown_band_has(self, tmp_path: Path) -> None:
        bands = np.zeros((3, 6, 8), dtype="uint8")
        bands[1] = 80
        bands[:, 0] = 0
        got = pixels(write_raster(tmp_path / "a.tif", bands, nodata=0))
        assert got[0, 0].tolist() == [255, 255, 255]
        assert got[3, 3].tolist() == [0, 80, 0]

    def test_half_transparent_is_half_white(self, tmp_path: Path) -> None:
        bands = np.full((4, 6, 8), 100, dtype="uint8")
        bands[3] = 255
        bands[3, 0], bands[3, 1] = 0, 51
        got = pixels(write_raster(tmp_path / "a.tif", bands))
        assert got[:3, 0, 0].tolist() == [255, 224, 100]

    def test_alpha_of_255_in_sixteen_bits_is_opaque(self, tmp_path: Path) -> None:
        bands = bands_of(200, 400, 800, 255)
        bands[3] = 255
        bands[3, 8:] = 0
        data = write_raster(tmp_path / "a.tif", bands, colours=("red", "green", "blue", "alpha"))
        assert pixels(data)[5, 5].tolist() == [51, 102, 204]
        assert (pixels(data)[8:] == 255).all()

    @pytest.mark.parametrize("internal", [True, False])
    def test_a_mask_is_honoured_inside_the_file_and_beside_it(self, tmp_path: Path, internal: bool) -> None:
        import rasterio

        values = ramp(low=100, high=200)[None].astype("uint16")
        values[0, :10] = 60_000
        mask = np.full(values.shape[1:], 255, dtype=np.uint8)
        mask[:10] = 0
        path = tmp_path / "a.tif"
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
            data = write_raster(path, values, mask=mask)
        assert path.with_name("a.tif.msk").exists() is not internal
        sidecars = sidecars_of(CorpusImage(uri=str(path)), data, LIMITS)
        got = np.asarray(decode_image(data, LIMITS, sidecars=sidecars).rgb)
        assert (got[:10] == 255).all()
        assert (got[10:].min(), got[10:].max()) == (0, 255)

    def test_a_sidecar_alone_makes_a_plain_picture_a_raster(self, tmp_path: Path) -> None:
        import rasterio

        options = {"crs": None, "transform": None}
        mask = np.zeros((6, 8), dtype=np.uint8)
        mask[3:] = 255
        path = tmp_path / "a.tif"
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False):
            data = write_raster(path, np.full((3, 6, 8), 70, dtype="uint8"), mask=mask, **options)
        assert raster_trait(data) is None
        got = decode_image(data, LIMITS, sidecars=sidecars_of(CorpusImage(uri=str(path)), data, LIMITS))
        assert np.asarray(got.rgb)[:, 0, 0].tolist() == [255] * 3 + [70] * 3

    def test_complex_values_are_a_reject(self, tmp_path: Path) -> None:
        data = write_raster(tmp_path / "a.tif", np.ones((1, 4, 4), dtype="complex64"))
        assert refused(data).reason == "complex_values"


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


class TestWindows:
    def test_windows_agree_with_the_whole(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(3)
        bands = rng.integers(200, 4000, (4, 300, 500)).astype("uint16")
        data = write_raster(tmp_path / "a.tif", bands, tiled=True, blockxsize=64, blockysize=64, nodata=200)
        whole = decode(data)
        with open_raster(str(tmp_path / "a.tif"), Rendering(), LIMITS) as raster:
            assert (raster.image_wh, dict(raster.meta)) == ((500, 300), dict(whole.meta))
            window = raster.read((37, 41, 237, 141))
            assert np.array_equal(np.asarray(window.rgb), np.asarray(whole.rgb)[41:141, 37:237])
            assert not window.is_empty

    @pytest.mark.parametrize("orientation", [3, 6, 8])
    def test_windows_are_upright(self, tmp_path: Path, orientation: int) -> None:
        path = tmp_path / "a.tif"
        path.write_bytes(turned_tiff(ramp(40, 60, 0, 255).astype("uint8"), orientation))
        whole = np.asarray(decode(path.read_bytes()).rgb)
        with open_raster(str(path), Rendering(), LIMITS) as raster:
            assert np.array_equal(np.asarray(raster.read((5, 8, 25, 31)).rgb), whole[8:31, 5:25])

    def test_a_shrunk_window_comes_from_overviews(self, tmp_path: Path) -> None:
        from counting_server import counting_server

        bands = np.random.default_rng(1).integers(0, 255, (1, 2048, 2048)).astype("uint8")
        path = tmp_path / "a.tif"
        write_raster(path, bands, tiled=True, blockxsize=256, blockysize=256, overviews=(2, 4, 8, 16))
        with (
            counting_server(tmp_path, ranges=True) as server,
            open_raster(f"{server.url}/a.tif", Rendering(), LIMITS) as raster,
        ):
            window = raster.read((0, 0, 2048, 2048), longest_px=128)
        assert window.rgb.size == (128, 128)
        assert server.num_bytes < path.stat().st_size / 2, "the whole file was fetched"

    def test_empty_windows(self, tmp_path: Path) -> None:
        bands = np.zeros((3, 40, 60), dtype="uint8")
        bands[:, 20:] = 90
        bands[:, 30, 30] = 91
        write_raster(tmp_path / "a.tif", bands, nodata=0)
        with open_raster(str(tmp_path / "a.tif"), Rendering(), LIMITS) as raster:
            assert raster.read((0, 0, 60, 20)).is_empty, "without data"
            assert raster.read((0, 10, 20, 40)).is_empty, "of one value"
            assert not raster.read((20, 20, 40, 40)).is_empty


class TestReading:
    def test_what_a_row_records_gives_the_same_picture(self, tmp_path: Path) -> None:
        bands = np.random.default_rng(5).integers(0, 3000, (5, 30, 40)).astype("uint16")
        data = write_raster(tmp_path / "a.tif", bands, nodata=0)
        first = decode(data, bands=(4, 2, 5), stretch="5,60")
        again = decode_image(data, LIMITS, Rendering.of_row(dict(first.meta)))
        assert np.array_equal(np.asarray(first.rgb), np.asarray(again.rgb))
        assert again.meta == first.meta

    @pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "CMYK", "RGBA", "LA", "YCbCr"])
    def test_plain_pictures_stay_with_pillow(self, mode: str) -> None:
        assert raster_trait(encode(Image.effect_noise((20, 10), 90).convert(mode), "TIFF")) is None

    def test_jpeg_2000_of_sixteen_bits(self, tmp_path: Path) -> None:
        values = ramp(64, 64, 200, 4000)[None].astype("uint16")
        data = write_raster(tmp_path / "a.jp2", values, driver="JP2OpenJPEG", reversible="YES", quality=100)
        assert raster_trait(data) in ("coordinates", "16-bit values")
        assert (pixels(data).min(), pixels(data).max()) == (0, 255)
        assert record(data)["transform"] == pytest.approx(list(TRANSFORM)[:6])

    def test_a_file_that_names_another_as_its_overviews_is_refused(self, tmp_path: Path) -> None:
        """GDAL would open whatever it names, here or on the network, as soon as a window is shrunk."""
        write_raster(tmp_path / "other.tif", np.full((1, 32, 32), 77, dtype="uint8"))
        tags = {"OVERVIEWS": {"OVERVIEW_FILE": str(tmp_path / "other.tif")}}
        data = write_raster(tmp_path / "a.tif", np.zeros((1, 64, 64), dtype="uint16"), tags=tags)
        assert refused(data).reason == "names_other_files"

    def test_other_formats_of_gdal_are_not_opened(self, tmp_path: Path) -> None:
        virtual = b'<VRTDataset rasterXSize="4" rasterYSize="4"></VRTDataset>'
        assert refused(virtual, bands=(1,)).reason == "not_an_image"

    def test_a_cut_file_is_a_reject(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 4000, (1, 200, 200)).astype("uint16")
        data = write_raster(tmp_path / "a.tif", noise)
        assert refused(data[: len(data) // 2]).reason == "broken"

    def test_too_many_pixels(self, tmp_path: Path) -> None:
        data = write_raster(tmp_path / "a.tif", bands_of(1, 2, 3))
        with pytest.raises(InputReject, match="max_pixels"):
            decode_image(data, InputLimits(max_pixels=100))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared rasters are not here")
class TestPublishedFiles:
    def test_true_colours_behind_a_weak_alpha(self) -> None:
        data = (SHARED / "RGBA.uint16.tif").read_bytes()
        assert record(data)["bands"] == [3, 2, 1]
        assert {tuple(colour) for colour in pixels(data).reshape(-1, 3).tolist()} == {(39,) * 3, (255,) * 3}

    def test_nothing_but_nodata(self) -> None:
        assert refused((SHARED / "all-nodata.tif").read_bytes()).reason == "all_nodata"

    def test_a_quarter_fills_the_range(self) -> None:
        data = (SHARED / "float_raster_with_nodata.tif").read_bytes()
        assert record(data)["limits"] == [[0.0, 0.25]]
        assert sorted(np.unique(pixels(data)))[0] == 0

    def test_photographs_from_the_air_keep_their_pixels(self) -> None:
        data = (SHARED / "OSBS_029.tif").read_bytes()
        assert np.array_equal(pixels(data), np.asarray(decode_rgb(data, LIMITS).rgb))


def test_a_raster_outlives_the_thread_that_opened_it(tmp_path: Path) -> None:
    """Run apart: what goes wrong here ends the process."""
    write_raster(tmp_path / "a.tif", bands_of(200, 400, 800), tiled=True, blockxsize=16, blockysize=16)
    program = f"""
import gc, threading
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.rasters import open_raster
from fo1_data.corpus.readers import load_listing
from fo1_data.corpus.rendering import Rendering
opened = []
for _ in range(20):
    thread = threading.Thread(
        target=lambda: opened.append(open_raster({str(tmp_path / "a.tif")!r}, Rendering(), InputLimits()))
    )
    thread.start()
    thread.join()
del thread
gc.collect()
for raster in opened[:15]:
    assert not raster.read((0, 0, 8, 8)).is_empty
    raster.__exit__()
print("well")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert (ended.returncode, ended.stdout) == (0, "well\n"), ended.stderr


def test_sidecars_of_rasters_are_no_images(tmp_path: Path) -> None:
    """Masks and world files lie beside their rasters; they are counted, and lost without a raster."""
    for name in ("a.tif", "a.tif.msk", "a.tif.aux.xml", "b.tif", "b.tfw", "c.tfw"):
        (tmp_path / name).write_bytes(b"x")
    listing = load_listing(str(tmp_path))
    names = [Path(entry.uri).name for entry in listing.entries]
    assert names == ["a.tif", "b.tif", "c.tfw"]
    assert listing.rejects == []
    [source] = listing.sources
    assert source.found == source.attached
    assert source.attached[ContentKind.SIDECARS] == 3
    assert source.attached[ContentKind.IMAGES] == 3


def test_a_world_file_gives_the_transform(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    data = write_raster(path, np.full((3, 6, 8), 70, dtype="uint8"), crs=None, transform=None)
    (tmp_path / "a.tfw").write_text("2\n0\n0\n-2\n101\n199\n")
    image = decode_image(data, LIMITS, sidecars=sidecars_of(CorpusImage(uri=str(path)), data, LIMITS))
    assert image.meta is not None
    assert image.meta["raster"]["transform"] == [2, 0, 100, 0, -2, 200]
