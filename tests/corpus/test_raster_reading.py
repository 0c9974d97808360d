"""Reading rasters: by windows, in threads, with sidecars; what is left to Pillow; published files."""

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("rasterio")

from decoded_rasters import LIMITS, SHARED, bands_of, decode, pixels, record, refused
from factories import encode
from raster_samples import TRANSFORM, ramp, turned_tiff, write_raster

from fo1_data.corpus.decoding import decode_image
from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.corpus.raster_kind import raster_trait
from fo1_data.corpus.rasters import open_raster
from fo1_data.corpus.readers import load_listing
from fo1_data.corpus.rendering import Rendering
from fo1_data.errors import InputReject
from schemas.sources import ContentKind


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

    @pytest.mark.parametrize("header_wh", [(24, 18), (25, 18), (24, 17), (0, 0)])
    @pytest.mark.parametrize("settings", [{"bands": (1,)}, {"stretch": "minmax"}])
    def test_a_header_of_another_size_than_its_picture_is_a_reject(
        self, header_wh: tuple[int, int], settings: dict[str, Any]
    ) -> None:
        """Pillow refuses such a file, and GDAL gives the picture whatever the header says."""
        data = bytearray(encode(Image.new("RGB", (24, 18)), "JPEG2000"))
        place = data.index(b"ihdr") + 4
        data[place : place + 8] = struct.pack(">II", *header_wh[::-1])
        if header_wh == (24, 18):
            assert decode(bytes(data), **settings).stored_wh == (24, 18)
        else:
            reject = refused(bytes(data), **settings)
            assert (reject.reason, "24 x 18" in reject.message) == ("broken", True)

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
