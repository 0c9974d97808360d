"""Rasters read by windows through rasterio (the extra `geo`): GeoTIFF and JPEG 2000 of any bands and depths.

`open_raster` reads what it needs of a local or remote file, by range requests; `open_raster_bytes` a file in
memory. Windows are in pixels of the upright image. Nodata and transparent pixels are white, as transparency
always is. PNG and JPEG are read so where they are too large to decode whole. Only the drivers of these four
formats are used, and only the file and its sidecars are opened.
"""

import contextlib
import contextvars
import threading
import uuid
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from fo1_data.boxes import WindowXyxy
from fo1_data.corpus.decoder_warnings import collected_warnings
from fo1_data.corpus.frames import orient_boxes
from fo1_data.corpus.images import TRANSPOSE_OF_ORIENTATION, DecodedImage, InputLimits, image_id_of
from fo1_data.corpus.raster_bands import choose_bands
from fo1_data.corpus.raster_files import RasterFiles, read_sidecars
from fo1_data.corpus.raster_kind import driver_of, jpeg2000_wh, stored_orientation
from fo1_data.corpus.raster_place import place_of
from fo1_data.corpus.raster_stretch import (
    AS_IS,
    Mask,
    Values,
    alpha_top,
    band_limits,
    default_stretch,
    to_levels,
)
from fo1_data.corpus.rendering import Rendering
from fo1_data.corpus.windows import Window, shrink
from fo1_data.errors import InputReject
from fo1_data.storage.ranges import open_ranges
from fo1_data.storage.streams import one_line
from schemas.images import RejectStage
from schemas.rasters import RASTER_KEY, RasterRecord

NEEDS_GEO = "needs_geo"
_SAMPLE_PIXELS = 2**20
_STRIP_PIXELS = 2**22
_CACHE_MB = 64
_WHITE = 255
_Result = TypeVar("_Result")


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
        self._lock = threading.Lock()
        self._main = main
        self._files = RasterFiles(main, sidecars, f"/{uuid.uuid4().hex}")
        self._stack = contextlib.ExitStack()
        # rasterio keeps what it has open for GDAL in context variables: lost with the thread that opened it,
        # they would leave GDAL with pointers to nothing.
        self._context = contextvars.copy_context()
        self._close = weakref.finalize(self, self._context.run, self._stack.close)
        try:
            self._gdal(lambda: self._open(rendering))
        except BaseException:
            self.__exit__()
            raise

    def _open(self, rendering: Rendering) -> None:
        start = self._files.open(self._files.path).read(12)
        driver = driver_of(start)
        if driver is None:
            raise _reject("not_an_image", "neither TIFF nor JPEG 2000, PNG nor JPEG")
        rasterio = load_rasterio()
        if not isinstance(self._main, bytes):
            self._stack.enter_context(self._main)
        self._dataset = dataset = self._stack.enter_context(
            rasterio.open(self._files.path, opener=self._files, driver=driver)
        )
        if dataset.tags(ns="OVERVIEWS"):
            # GDAL would open whatever file it names, also on the network.
            raise _reject("names_other_files", "its metadata names another file as its overviews")
        header_wh = jpeg2000_wh(self._files.open(self._files.path))
        if header_wh is not None and header_wh != (dataset.width, dataset.height):
            # Its boxes are in either frame, and nobody knows in which.
            told, found = ("{} x {}".format(*wh) for wh in (header_wh, (dataset.width, dataset.height)))
            raise _reject("broken", f"its header says {told} pixels, its picture has {found}")
        self._describe(rendering)

    def _describe(self, rendering: Rendering) -> None:
        dataset, recorded = self._dataset, rendering.raster
        self.stored_wh: tuple[int, int] = (dataset.width, dataset.height)
        self.orientation = stored_orientation(self._files.open(self._files.path))
        swapped = self.orientation >= 5
        self.image_wh = (self.stored_wh[1], self.stored_wh[0]) if swapped else self.stored_wh
        asked = tuple(recorded.bands) if recorded is not None else rendering.bands
        self._shown = choose_bands(dataset, () if recorded is not None and recorded.palette else asked)
        if any(np.dtype(dataset.dtypes[number - 1]).kind == "c" for number in self._shown.numbers):
            raise _reject("complex_values", "its values are complex numbers: make a raster of amplitudes")
        is_inverted = dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
        self._inverted = is_inverted and self._shown.palette is None and len(self._shown.numbers) == 1
        place = place_of(dataset, self.orientation, self._files.world)
        self._stretch, self.place = rendering.stretch, place
        self._record = recorded.model_copy(update=place) if recorded is not None else None

    @property
    def record(self) -> RasterRecord:
        """What was used of the raster. The limits of its values are found when they are first needed."""
        if self._record is None:
            self._record = RasterRecord(**self._gdal(lambda: self._fit(self._stretch)), **self.place)
        return self._record

    @property
    def meta(self) -> Mapping[str, Any]:
        """The record, for the `meta` of a row."""
        return {RASTER_KEY: self.record.model_dump(mode="json", exclude_none=True)}

    def _fit(self, stretch: str | None) -> dict[str, Any]:
        """Limits of the bands from the whole raster, at most a megapixel of it, and what else is recorded."""
        dataset, shown = self._dataset, self._shown
        width, height = self.stored_wh
        step = max(1.0, (width * height / _SAMPLE_PIXELS) ** 0.5)
        sample_hw = (max(1, round(height / step)), max(1, round(width / step)))
        part = self._read_part((0, 0, width, height), sample_hw, smooth=False)
        seen = part.alpha > 0 if part.alpha is not None else np.ones(sample_hw, dtype=np.bool_)
        kinds = [dataset.dtypes[number - 1] for number in shown.numbers]
        chosen = AS_IS if shown.palette is not None else stretch or default_stretch(kinds[0])
        limits = [
            band_limits(part.values[band], part.valid[band] & seen, chosen, self._num_bits(number))
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

    def _num_bits(self, number: int) -> int | None:
        """The bits of a band's values, where they are fewer than those of their type."""
        declared = self._dataset.tags(number, ns="IMAGE_STRUCTURE").get("NBITS", "")
        return int(declared) if declared.isdigit() and 0 < int(declared) <= 32 else None

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
            part = self._read_locked(strip, (bottom - top, out_width), smooth=is_shrunk)
            pixels[top:bottom] = self._coloured(part, extent)
        if window_xyxy == (0, 0, *self.image_wh) and not (extent.has_data or self._has_data(is_shrunk)):
            nodata = self.record.nodata
            what = f"nodata ({nodata})" if nodata is not None else "masked or transparent"
            raise _reject("all_nodata", f"every pixel is {what}")
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
            part = self._read_locked((0, top, width, bottom), (bottom - top, width), smooth=False)
            shown = part.valid.any(axis=0) & (True if part.alpha is None else part.alpha > 0)
            if shown.any():
                return True
        return False

    def _stored_window(self, window_xyxy: WindowXyxy) -> tuple[int, int, int, int]:
        inverse = {6: 8, 8: 6}.get(self.orientation, self.orientation)
        box = orient_boxes(np.array([window_xyxy], dtype=np.float32), self.image_wh, inverse)[0]
        x_min, y_min, x_max, y_max = (round(float(side)) for side in box)
        return x_min, y_min, x_max, y_max

    def _read_locked(
        self, window: tuple[float, float, float, float], out_hw: tuple[int, int], smooth: bool
    ) -> "_Part":
        return self._gdal(lambda: self._read_part(window, out_hw, smooth))

    def _read_part(
        self, window: tuple[float, float, float, float], out_hw: tuple[int, int], smooth: bool
    ) -> "_Part":
        """The values of a window in stored pixels, brought to `out_hw`, averaged if `smooth`."""
        from rasterio.enums import MaskFlags, Resampling
        from rasterio.windows import Window as RasterWindow

        x_min, y_min, x_max, y_max = window
        place: dict[str, Any] = {
            "window": RasterWindow(x_min, y_min, x_max - x_min, y_max - y_min),
            "out_shape": out_hw,
        }
        numbers = list(self._shown.numbers)
        how = Resampling.average if smooth else Resampling.nearest
        values = self._dataset.read(
            numbers, **{**place, "out_shape": (len(numbers), *out_hw)}, resampling=how
        )
        valid = np.ones(values.shape, dtype=np.bool_)
        for band, number in enumerate(numbers):
            flags = self._dataset.mask_flag_enums[number - 1]
            if MaskFlags.all_valid not in flags and MaskFlags.alpha not in flags:
                valid[band] = self._dataset.read_masks(number, **place) != 0
        if values.dtype.kind == "f":
            valid &= np.isfinite(values)
        alpha = self._dataset.read(self._shown.alpha, **place) if self._shown.alpha is not None else None
        return _Part(values, valid, alpha)

    def _coloured(self, part: "_Part", seen: "ColourExtent") -> npt.NDArray[np.uint8]:
        """(H, W, 3) colours of a part; nodata is white, and what is half transparent is half white."""
        if self._shown.palette is not None:
            colours, opacity = _by_palette(part.values[0], self._shown.palette)
        else:
            levels = to_levels(part.values, self.record.limits)
            if self.record.white_is_zero:
                levels = 255 - levels
            colours = np.moveaxis(np.broadcast_to(levels, (3, *levels.shape[1:])), 0, -1)
            opacity = np.full(colours.shape[:2], 255, dtype=np.uint8)
        if part.alpha is not None:
            top = self.record.alpha_top or 255.0
            share = (part.alpha.astype(np.float64) * (255.0 / top)).clip(0.0, 255.0)
            opacity = np.minimum(opacity, np.rint(share).astype(np.uint8))
        opacity = np.where(part.valid.any(axis=0), opacity, np.uint8(0))
        seen.add(colours, opacity)
        if opacity.min(initial=255) == 255:
            return np.ascontiguousarray(colours)
        weight = opacity[..., None].astype(np.uint32)
        return ((colours * weight + _WHITE * (255 - weight) + 127) // 255).astype(np.uint8)

    def _gdal(self, work: Callable[[], _Result]) -> _Result:
        """Work of one thread at a time; whatever GDAL raises becomes an InputReject."""
        rasterio = load_rasterio()
        with self._lock, collected_warnings(), rasterio.Env(GDAL_CACHEMAX=_CACHE_MB):
            try:
                return self._context.run(work)
            except InputReject:
                raise
            except Exception as error:
                # rasterio raises OSError, ValueError and types of its own for broken files.
                raise self._files.fault or _reject("broken", one_line(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        with self._lock:
            self._close()


@dataclass(frozen=True)
class _Part:
    """values, valid: (B, H, W); alpha: (H, W) values of the alpha band, None without one."""

    values: Values
    valid: Mask
    alpha: Values | None


class ColourExtent:
    """Whether the pixels of a window have data, and the extremes of their colours."""

    def __init__(self) -> None:
        self._low, self._high = np.full(3, 255), np.zeros(3, dtype=int)

    def add(self, colours: npt.NDArray[np.uint8], opacity: npt.NDArray[np.uint8]) -> None:
        shown = colours[opacity > 0]
        if shown.size:
            self._low = np.minimum(self._low, shown.min(axis=0))
            self._high = np.maximum(self._high, shown.max(axis=0))

    @property
    def has_data(self) -> bool:
        """Whether any pixel has data."""
        return bool((self._high >= self._low).all())

    @property
    def is_empty(self) -> bool:
        """Whether no pixel has data, or all that have are of one colour."""
        return bool((self._high <= self._low).all())


def _by_palette(
    indices: Values, palette: Mapping[int, tuple[int, int, int, int]]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """(H, W, 3) colours and (H, W) opacities; an index without a colour is black."""
    table = np.zeros((max(max(palette), int(indices.max(initial=0))) + 1, 4), dtype=np.uint8)
    table[:, 3] = 255
    for index, colour in palette.items():
        table[index] = colour
    found = table[indices]
    return found[..., :3], found[..., 3]


@lru_cache(maxsize=1)
def load_rasterio() -> Any:
    """The package rasterio. Raises InputReject that names the extra, where it is not installed."""
    try:
        import rasterio
        from rasterio.abc import FileContainer
    except ImportError:
        raise InputReject(
            RejectStage.DECODE,
            NEEDS_GEO,
            "rasters are read by rasterio, which is not installed: install fo1-data[geo]",
            replayable=True,
        ) from None
    FileContainer.register(RasterFiles)
    return rasterio


def _reject(reason: str, message: str) -> InputReject:
    return InputReject(RejectStage.DECODE, reason, message)


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
            raise _reject("too_many_pixels", message)
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
