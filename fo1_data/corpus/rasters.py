"""Rasters read by windows through rasterio (the extra `geo`): GeoTIFF and JPEG 2000 of any bands and depths.

`open_raster` reads what it needs of a local or remote file, by range requests; `open_raster_bytes` a file in
memory. Windows are in pixels of the upright image. Nodata and transparent pixels are white, as transparency
always is. PNG and JPEG are read so where they are too large to decode whole.
"""

from collections.abc import Callable, Mapping
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from fo1_data.boxes import WindowXyxy
from fo1_data.corpus.frames import orient_boxes
from fo1_data.corpus.further_pages import meta_of_pages
from fo1_data.corpus.images import TRANSPOSE_OF_ORIENTATION, DecodedImage, InputLimits, image_id_of
from fo1_data.corpus.raster_bands import choose_bands
from fo1_data.corpus.raster_colours import (
    ColourExtent,
    alpha_opacity,
    level_colours,
    on_white,
    palette_colours,
)
from fo1_data.corpus.raster_files import read_sidecars
from fo1_data.corpus.raster_parts import RasterPart, read_part
from fo1_data.corpus.raster_place import place_of
from fo1_data.corpus.raster_source import RasterSource, decode_reject
from fo1_data.corpus.raster_stretch import AS_IS, alpha_top, band_limits, default_stretch
from fo1_data.corpus.rendering import Rendering
from fo1_data.corpus.windows import Window, shrink
from fo1_data.storage.ranges import open_ranges
from schemas.rasters import RASTER_KEY, RasterRecord

_SAMPLE_PIXELS = 2**20
_STRIP_PIXELS = 2**22


def open_raster(address: str, rendering: Rendering, limits: InputLimits) -> "RasterImage":
    """Open the raster at an address, of any size: only what is asked for is read.

    Raises InputReject, of stage `fetch` if the file cannot be read, else `decode`.
    """
    timeout_s = limits.download_timeout_s
    stream = open_ranges(address, max_whole_bytes=limits.max_bytes, timeout_s=timeout_s)
    return RasterImage(stream, read_sidecars(address, timeout_s), rendering)


def open_raster_bytes(
    data: bytes, rendering: Rendering, sidecars: Mapping[str, bytes] | None = None
) -> "RasterImage":
    """Open a raster that is in memory, with its sidecars by their endings. Raises InputReject."""
    return RasterImage(data, sidecars or {}, rendering)


class RasterImage:
    """An open raster as a `WindowedImage`. Any thread may read; one reads at a time.

    `image_wh`: of the upright image; `stored_wh`: before `orientation` is applied; `place`: the fields of its
    record that say where it lies.
    """

    def __init__(self, main: bytes | IO[bytes], sidecars: Mapping[str, bytes], rendering: Rendering) -> None:
        """Open it and choose its bands. Raises InputReject."""
        self._source = RasterSource(main, sidecars)
        self.orientation, self._stretch = self._source.orientation, rendering.stretch
        try:
            self._source.use(lambda dataset: self._describe(dataset, rendering))
        except BaseException:
            self._source.close()
            raise

    def _describe(self, dataset: Any, rendering: Rendering) -> None:
        recorded = rendering.raster
        self.stored_wh: tuple[int, int] = (dataset.width, dataset.height)
        swapped = self.orientation >= 5
        self.image_wh = (self.stored_wh[1], self.stored_wh[0]) if swapped else self.stored_wh
        asked = tuple(recorded.bands) if recorded is not None else rendering.bands
        self._shown = choose_bands(dataset, () if recorded is not None and recorded.palette else asked)
        if any(np.dtype(dataset.dtypes[number - 1]).kind == "c" for number in self._shown.numbers):
            raise decode_reject(
                "complex_values", "its values are complex numbers: make a raster of amplitudes"
            )
        is_inverted = dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
        self._inverted = is_inverted and self._shown.palette is None and len(self._shown.numbers) == 1
        self._pages = meta_of_pages(len(dataset.subdatasets))
        self.place = place_of(dataset, self.orientation, self._source.world)
        self._record = recorded.model_copy(update=self.place) if recorded is not None else None

    @property
    def record(self) -> RasterRecord:
        """What was used of the raster. The limits of its values are found when they are first needed."""
        if self._record is None:
            self._record = RasterRecord(**self._source.use(self._fit), **self.place)
        return self._record

    @property
    def meta(self) -> Mapping[str, Any]:
        """For the `meta` of a row: the record, and how many further pages the file has."""
        return {RASTER_KEY: self.record.model_dump(mode="json", exclude_none=True), **(self._pages or {})}

    def _fit(self, dataset: Any) -> dict[str, Any]:
        """Limits of the bands from the whole raster, at most a megapixel of it, and what else is recorded."""
        shown = self._shown
        width, height = self.stored_wh
        step = max(1.0, (width * height / _SAMPLE_PIXELS) ** 0.5)
        sample_hw = (max(1, round(height / step)), max(1, round(width / step)))
        part = read_part(dataset, shown, (0, 0, width, height), sample_hw, smooth=False)
        kinds = [dataset.dtypes[number - 1] for number in shown.numbers]
        chosen = AS_IS if shown.palette is not None else self._stretch or default_stretch(kinds[0])
        limits = [
            band_limits(
                part.values[band], part.valid[band] & part.is_seen, chosen, _num_bits(dataset, number)
            )
            for band, number in enumerate(shown.numbers)
        ]
        nodata = dataset.nodatavals[shown.numbers[0] - 1]
        return {
            "bands": list(shown.numbers),
            "bands_by": shown.chosen_by,
            "stretch": chosen,
            "limits": limits,
            "dtype": kinds[0],
            "count": dataset.count,
            "palette": shown.palette is not None,
            "white_is_zero": self._inverted,
            "alpha": shown.alpha,
            "alpha_top": None if part.alpha is None else alpha_top(part.alpha),
            "nodata": None if nodata is None else f"{nodata:g}",
        }

    def read(self, window_xyxy: WindowXyxy, longest_px: int | None = None) -> Window:
        """See `WindowedImage.read`. A shrunk window is read from overviews where the file has some.

        An image without any data is an InputReject `all_nodata` as soon as the whole of it is read.
        """
        x_min, y_min, x_max, y_max = self._stored_window(window_xyxy)
        width, height = x_max - x_min, y_max - y_min
        is_shrunk = longest_px is not None and max(width, height) > longest_px and self._shown.palette is None
        scale = (longest_px or 1) / max(width, height) if is_shrunk else 1.0
        out_width, out_height = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = np.empty((out_height, out_width, 3), dtype=np.uint8)
        extent = ColourExtent()
        rows = max(1, _STRIP_PIXELS // out_width)
        for top in range(0, out_height, rows):
            bottom = min(out_height, top + rows)
            strip = (x_min, y_min + height * top / out_height, x_max, y_min + height * bottom / out_height)
            part = self._read_part(strip, (bottom - top, out_width), smooth=is_shrunk)
            pixels[top:bottom] = self._coloured(part, extent)
        if window_xyxy == (0, 0, *self.image_wh) and not (extent.has_data or self._has_data(is_shrunk)):
            nodata = self.record.nodata
            what = f"nodata ({nodata})" if nodata is not None else "masked or transparent"
            raise decode_reject("all_nodata", f"every pixel is {what}")
        image = Image.fromarray(pixels)
        method = TRANSPOSE_OF_ORIENTATION.get(self.orientation)
        upright = image if method is None else image.transpose(method)
        return Window(shrink(upright, longest_px), extent.is_empty)

    def _has_data(self, was_shrunk: bool) -> bool:
        """Whether any pixel has data, by all pixels where a shrunk image shows none."""
        width, height = self.stored_wh
        rows = max(1, _STRIP_PIXELS // width) if was_shrunk else height
        for top in range(0, height if was_shrunk else 0, rows):
            bottom = min(height, top + rows)
            part = self._read_part((0, top, width, bottom), (bottom - top, width), smooth=False)
            if (part.valid.any(axis=0) & part.is_seen).any():
                return True
        return False

    def _stored_window(self, window_xyxy: WindowXyxy) -> tuple[int, int, int, int]:
        inverse = {6: 8, 8: 6}.get(self.orientation, self.orientation)
        box = orient_boxes(np.array([window_xyxy], dtype=np.float32), self.image_wh, inverse)[0]
        x_min, y_min, x_max, y_max = (round(float(side)) for side in box)
        return x_min, y_min, x_max, y_max

    def _read_part(
        self, window: tuple[float, float, float, float], out_hw: tuple[int, int], smooth: bool
    ) -> RasterPart:
        return self._source.use(lambda dataset: read_part(dataset, self._shown, window, out_hw, smooth))

    def _coloured(self, part: RasterPart, seen: ColourExtent) -> npt.NDArray[np.uint8]:
        """(H, W, 3) colours of a part; nodata is white, and what is half transparent is half white."""
        if self._shown.palette is not None:
            colours, opacity = palette_colours(part.values[0], self._shown.palette)
        else:
            colours, opacity = level_colours(part.values, self.record)
        if part.alpha is not None:
            opacity = np.minimum(opacity, alpha_opacity(part.alpha, self.record.alpha_top))
        opacity = np.where(part.valid.any(axis=0), opacity, np.uint8(0))
        seen.add(colours, opacity)
        return on_white(colours, opacity)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self._source.close()


def _num_bits(dataset: Any, number: int) -> int | None:
    """The bits of a band's values, where they are fewer than those of their type."""
    declared = dataset.tags(number, ns="IMAGE_STRUCTURE").get("NBITS", "")
    return int(declared) if declared.isdigit() and 0 < int(declared) <= 32 else None


def decode_raster(
    data: bytes,
    limits: InputLimits,
    rendering: Rendering,
    image_id: str | None = None,
    before_pixels: Callable[[int], None] = lambda _: None,
    sidecars: Mapping[str, bytes] | None = None,
) -> DecodedImage:
    """A whole raster as an upright RGB image, whose `meta` says how. See `decode_rgb` for the arguments.

    Raises InputReject, also with reason `all_nodata`, `needs_geo`, `no_such_band` or `complex_values`.
    """
    with open_raster_bytes(data, rendering, sidecars) as raster:
        width, height = raster.image_wh
        if width * height > limits.max_pixels:
            message = f"{width} x {height} is over the limit max_pixels = {limits.max_pixels}"
            raise decode_reject("too_many_pixels", message)
        before_pixels(width * height)
        rgb = raster.read((0, 0, width, height)).rgb
        return DecodedImage(
            image_id or image_id_of(data),
            rgb,
            width,
            height,
            raster.orientation,
            raster.stored_wh,
            meta=raster.meta,
        )
