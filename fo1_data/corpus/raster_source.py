"""A raster's file as rasterio has it open: one thread at a time works with it, and GDAL's faults are rejects.

Only the drivers of GeoTIFF, JPEG 2000, PNG and JPEG are used, and only the file and its sidecars are opened.
Reads no pixels.
"""

import contextlib
import contextvars
import threading
import uuid
import weakref
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import IO, Any, TypeVar

from fo1_data.corpus.decoder_warnings import collected_warnings
from fo1_data.corpus.raster_files import RasterFiles
from fo1_data.corpus.raster_kind import driver_of, jpeg2000_wh, stored_orientation
from fo1_data.errors import InputReject, one_line
from schemas.images import RejectStage

NEEDS_GEO = "needs_geo"
_CACHE_MB = 64
_Result = TypeVar("_Result")


class RasterSource:
    """An open file of a raster. Any thread may `use` it; one does at a time.

    `orientation`: its EXIF value; `world`: the bytes of its world file, or None.
    """

    def __init__(self, main: bytes | IO[bytes], sidecars: Mapping[str, bytes]) -> None:
        """Open it. Raises InputReject."""
        self._lock = threading.Lock()
        self._main = main
        self._files = RasterFiles(main, sidecars, f"/{uuid.uuid4().hex}")
        self._stack = contextlib.ExitStack()
        # rasterio keeps what it has open for GDAL in context variables: lost with the thread that opened it,
        # they would leave GDAL with pointers to nothing.
        self._context = contextvars.copy_context()
        self._close = weakref.finalize(self, self._context.run, self._stack.close)
        try:
            self._dataset, self.orientation = self._guarded(self._open)
        except BaseException:
            self.close()
            raise
        self.world = self._files.world

    def use(self, work: Callable[[Any], _Result]) -> _Result:
        """What `work` makes of the rasterio dataset. Whatever GDAL raises becomes an InputReject."""
        return self._guarded(lambda: work(self._dataset))

    def close(self) -> None:
        """Close the file. A second time does nothing."""
        with self._lock:
            self._close()

    def _open(self) -> tuple[Any, int]:
        """The dataset and its orientation."""
        start = self._files.open(self._files.path).read(12)
        driver = driver_of(start)
        if driver is None:
            raise decode_reject("not_an_image", "neither TIFF nor JPEG 2000, PNG nor JPEG")
        rasterio = load_rasterio()
        if not isinstance(self._main, bytes):
            self._stack.enter_context(self._main)
        dataset = self._stack.enter_context(
            rasterio.open(self._files.path, opener=self._files, driver=driver)
        )
        if dataset.tags(ns="OVERVIEWS"):
            # GDAL would open whatever file it names, also on the network.
            raise decode_reject("names_other_files", "its metadata names another file as its overviews")
        header_wh = jpeg2000_wh(self._files.open(self._files.path))
        if header_wh is not None and header_wh != (dataset.width, dataset.height):
            # Its boxes are in either frame, and nobody knows in which.
            told, found = ("{} x {}".format(*wh) for wh in (header_wh, (dataset.width, dataset.height)))
            raise decode_reject("broken", f"its header says {told} pixels, its picture has {found}")
        return dataset, stored_orientation(self._files.open(self._files.path))

    def _guarded(self, work: Callable[[], _Result]) -> _Result:
        rasterio = load_rasterio()
        with self._lock, collected_warnings(), rasterio.Env(GDAL_CACHEMAX=_CACHE_MB):
            try:
                return self._context.run(work)
            except InputReject:
                raise
            except Exception as error:
                # rasterio raises OSError, ValueError and types of its own for broken files.
                raise self._files.fault or decode_reject("broken", one_line(error)) from error


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


def decode_reject(reason: str, message: str) -> InputReject:
    """The reject of a raster that cannot be decoded."""
    return InputReject(RejectStage.DECODE, reason, message)
