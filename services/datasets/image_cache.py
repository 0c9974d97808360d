"""Encoded pictures on disk, up to CACHE_BYTES. A cache that cannot be read or written is as if empty."""

import os
import uuid
from contextlib import suppress
from pathlib import Path

from services.home import open_private

CACHE_BYTES = 2 * 2**30
_PRUNE_EVERY = 200


class ImageCache:
    """Pictures by their name and width, under `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._num_written = 0

    def read(self, name: str, width: int | None) -> bytes | None:
        """Return a picture; None if it is not there. `width`: as it was written with; None: whole."""
        with suppress(OSError):
            return self._path(name, width).read_bytes()
        return None

    def write(self, name: str, width: int | None, data: bytes) -> None:
        """Keep a picture. From time to time, make room by those that were read longest ago."""
        path = self._path(name, width)
        with suppress(OSError):
            for folder in (self._folder.parent, self._folder, path.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            written = path.with_name(f".{uuid.uuid4().hex}")
            with open_private(written, "xb") as file:
                file.write(data)
            written.replace(path)
            self._num_written += 1
            if self._num_written % _PRUNE_EVERY == 0:
                _prune(self._folder)

    def _path(self, name: str, width: int | None) -> Path:
        return self._folder / name[:2] / f"{name}-{int(width) if width else 'full'}"


def _prune(folder: Path) -> None:
    """Delete the files read longest ago until the cache is within CACHE_BYTES."""
    files = []
    for path in folder.glob("*/*"):
        with suppress(OSError):
            info = os.stat(path)  # noqa: PTH116
            files.append((info.st_atime, info.st_size, path))
    total_bytes = sum(num_bytes for _, num_bytes, _ in files)
    for _, num_bytes, path in sorted(files):
        if total_bytes <= CACHE_BYTES:
            return
        with suppress(OSError):
            path.unlink()
            total_bytes -= num_bytes
