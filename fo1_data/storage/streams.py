"""Streams of a corpus' own files (lists, annotations, archives), local or remote.

Here a file may have any size and is read as a stream; for images see `downloads`, which has limits. A file
that cannot be opened raises CorpusError with a one-line message.
"""

import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

import httpx
import pyarrow as pa

from fo1_data.errors import CorpusError, one_line
from fo1_data.storage.addresses import file_system, is_web, local_path
from fo1_data.storage.local_files import path_text
from fo1_data.storage.reach import check_place, web_client

_TIMEOUT_S = 60.0
_READ_BYTES = 2**18


@contextmanager
def open_stream(address: str) -> Iterator[IO[bytes]]:
    """Open a file to read from front to back."""
    try:
        with _open_raw(address) as stream:
            yield stream
    except (OSError, httpx.HTTPError, httpx.InvalidURL) as error:
        raise CorpusError(f"cannot read {address}: {one_line(error)}") from error


def read_whole(address: str) -> bytes:
    """Read a whole file of the corpus."""
    with open_stream(address) as stream:
        return stream.read()


def open_seekable(address: str) -> pa.NativeFile:
    """Open a seekable file, for Parquet; a web file is loaded into memory."""
    if is_web(address):
        return pa.BufferReader(read_whole(address))
    try:
        check_place(address)
        files, path = file_system(address)
        return files.open_input_file(path)
    except OSError as error:
        raise CorpusError(f"cannot read {address}: {one_line(error)}") from error


@contextmanager
def _open_raw(address: str) -> Iterator[IO[bytes]]:
    check_place(address)
    path = local_path(address)
    if path is not None:
        try:
            mode = path.stat().st_mode
        except ValueError as error:  # a null character
            raise CorpusError(f"cannot read {path_text(path)}: {one_line(error)}") from error
        if not stat.S_ISREG(mode):
            raise CorpusError(f"{path_text(path)} is not a regular file")
        with path.open("rb") as file:
            yield file
    elif is_web(address):
        with web_client().stream("GET", address, timeout=_TIMEOUT_S) as response:
            response.raise_for_status()
            yield io.BufferedReader(_WebStream(response.iter_bytes(_READ_BYTES)), _READ_BYTES)
    else:
        files, path_in_store = file_system(address)
        # Otherwise pyarrow would decompress a file whose name ends in .gz.
        with files.open_input_stream(path_in_store, compression=None) as stream:
            yield io.BufferedReader(cast(io.RawIOBase, stream), _READ_BYTES)


class _WebStream(io.RawIOBase):
    """The body of an HTTP response as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, target: "memoryview | bytearray") -> int:  # type: ignore[override]
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
