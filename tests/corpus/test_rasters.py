"""Rasters: which bands are shown, how values become brightness, and what has no data."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

pytest.importorskip("rasterio")

from decoded_rasters import LIMITS, bands_of, pixels, record, refused
from factories import encode
from raster_samples import ramp, write_raster

from fo1_data.corpus.decoding import decode_image, sidecars_of
from fo1_data.corpus.images import decode_rgb
from fo1_data.corpus.raster_kind import raster_trait
from fo1_data.corpus.raster_stretch import band_limits, to_levels
from schemas.corpus import CorpusImage
from schemas.jobs import RunConfig


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
