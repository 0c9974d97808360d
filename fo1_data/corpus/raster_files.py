"""A raster's file as GDAL sees it: the file itself and the sidecars beside it, and nothing else.

GDAL gets a file system of its own, so an untrusted file cannot lead it to other files or to the network. A
sidecar is a mask (`x.tif.msk`), overviews (`x.tif.ovr`), coordinates and statistics (`x.tif.aux.xml`) or a
world file (`x.tfw`, `x.tifw`, `x.wld`, `x.j2w`). Masks and overviews must be TIFFs.
"""

import io
import posixpath
from collections.abc import Mapping
from typing import IO, Any

from fo1_data.corpus.raster_kind import is_tiff
from fo1_data.errors import InputReject
from fo1_data.storage.addresses import file_system, is_web, local_path, suffix_of_name
from fo1_data.storage.downloads import download

_TIFF_SIDECARS = (".msk", ".ovr")
_SIDECARS = (*_TIFF_SIDECARS, ".aux.xml")
_WORLD_FILES = (".tfw", ".tifw", ".j2w", ".jp2w", ".wld")
RASTER_SUFFIXES = (".tif", ".tiff", ".jp2", ".j2k", ".jpx", ".jpf")
MAIN = "raster"
_MOST_BYTES = 64 * 2**20


def owner_name(name: str) -> str | None:
    """The name of the raster that a sidecar belongs to: `a.tif` for `a.tif.msk`; for `a.tfw` the stem `a`.

    None for the names of other files.
    """
    lower = name.lower()
    suffix = next((suffix for suffix in (*_SIDECARS, *_WORLD_FILES) if lower.endswith(suffix)), None)
    return None if suffix is None else name[: -len(suffix)]


def read_sidecars(address: str, timeout_s: float) -> dict[str, bytes]:
    """The sidecars of the raster at an address, by their endings. None is looked for on web servers.

    A sidecar that cannot be read, or is over 64 MiB, is an InputReject (stage `fetch`).
    """
    found = {}
    stem = address[: -len(suffix_of_name(address))] if suffix_of_name(address) else address
    places = {ending: address + ending for ending in _SIDECARS}
    places |= {ending: stem + ending for ending in _WORLD_FILES}
    for ending in _existing(places):
        data = download(places[ending], max_bytes=_MOST_BYTES, timeout_s=timeout_s)
        if ending not in _TIFF_SIDECARS or is_tiff(data[:4]):
            found[ending] = data
    return found


def _existing(places: Mapping[str, str]) -> list[str]:
    """The endings whose files exist."""
    if any(is_web(address) for address in places.values()):
        return []
    if all(local_path(address) is not None for address in places.values()):
        return [ending for ending, address in places.items() if _is_file(address)]
    paths = {}
    for ending, address in places.items():
        files, paths[ending] = file_system(address)
    infos = files.get_file_info(list(paths.values()))
    return [ending for ending, info in zip(paths, infos, strict=True) if info.is_file]


def _is_file(address: str) -> bool:
    path = local_path(address)
    try:
        return path is not None and path.is_file()
    except OSError:
        return False


class RasterFiles:
    """The files that GDAL may open, as rasterio's `FileContainer`. fault: what reading them raised last."""

    def __init__(self, main: bytes | IO[bytes], sidecars: Mapping[str, bytes], folder: str) -> None:
        self._main, self.path = main, posixpath.join(folder, MAIN + ".tif")
        self._sidecars = {MAIN + ".tif" + name: data for name, data in sidecars.items() if name in _SIDECARS}
        # GDAL finds these as well, but reads no line of a file that rasterio opens for it.
        self.world = next((data for name, data in sidecars.items() if name in _WORLD_FILES), None)
        self.fault: InputReject | None = None

    def open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        """A file to read. Raises FileNotFoundError for any other file, and for every way of writing."""
        name = posixpath.basename(path)
        if "w" in mode or "a" in mode or "+" in mode or not self.isfile(path):
            raise FileNotFoundError(path)
        if name in self._sidecars:
            return io.BytesIO(self._sidecars[name])
        return io.BytesIO(self._main) if isinstance(self._main, bytes) else _Shared(self._main, self)

    def isfile(self, path: str) -> bool:
        """Whether a path is one of the files."""
        return path == self.path or posixpath.basename(path) in self._sidecars

    def isdir(self, path: str) -> bool:
        """Whether a path is the folder of the files."""
        return path == posixpath.dirname(self.path)

    def ls(self, path: str) -> list[str]:
        """The names of all files."""
        return [posixpath.basename(self.path), *self._sidecars]

    def mtime(self, path: str) -> int:
        """Files have no time here."""
        return 0

    def rm(self, path: str) -> None:
        """Nothing is deleted."""
        raise PermissionError(path)

    def size(self, path: str) -> int:
        """The size of a file in bytes."""
        name = posixpath.basename(path)
        if name in self._sidecars:
            return len(self._sidecars[name])
        if isinstance(self._main, bytes):
            return len(self._main)
        return self._main.seek(0, io.SEEK_END)


class _Shared(io.RawIOBase):
    """A stream that closes nothing, so that GDAL may open it twice, and that remembers why a read failed."""

    def __init__(self, stream: IO[bytes], files: RasterFiles) -> None:
        self._stream, self._files, self._place = stream, files, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            self._place = self._stream.seek(offset, io.SEEK_END)
        else:
            self._place = max(0, offset + (self._place if whence == io.SEEK_CUR else 0))
        return self._place

    def readinto(self, target: "memoryview | bytearray") -> int:  # type: ignore[override]
        try:
            self._stream.seek(self._place)
            data = self._stream.read(len(target))
        except InputReject as error:
            self._files.fault = error
            raise OSError(str(error)) from error
        target[: len(data)] = data
        self._place += len(data)
        return len(data)
