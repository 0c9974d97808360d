"""Files of any size read in parts: local ones as they are, remote ones by range requests.

Remote parts are read in whole blocks of which the last ones are kept, each with the retries and limits of
`downloads`. A web server that answers no range requests cannot be read in parts: its file is loaded whole,
within a limit. Not for use by several threads at once.
"""

import io
import os
import stat
from collections import OrderedDict
from typing import IO, cast

from fo1_data.storage.addresses import local_path
from fo1_data.storage.downloads import download, remote_size
from fo1_data.storage.fetch_rejects import reject
from fo1_data.storage.local_files import path_text
from fo1_data.storage.reach import OutOfReach, check_place

_BLOCK_BYTES = 2**18
_MOST_BLOCKS = 64


def open_ranges(address: str, *, max_whole_bytes: int, timeout_s: float) -> IO[bytes]:
    """Open a file to read parts of it. max_whole_bytes: of what a server gives only as a whole.

    Raises InputReject (stage `fetch`) as `download` does, here and while it is read.
    """
    try:
        check_place(address)
    except OutOfReach as error:
        raise reject("forbidden", str(error), False) from error
    path = local_path(address)
    if path is None:
        num_bytes, has_ranges = remote_size(address, timeout_s)
        if has_ranges:
            return cast(IO[bytes], _RemoteFile(address, num_bytes, timeout_s))
        return io.BytesIO(download(address, max_bytes=max_whole_bytes, timeout_s=timeout_s))
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise reject("not_a_file", f"{path_text(path)} is not a regular file", False)
        return path.open("rb")
    except FileNotFoundError as error:
        raise reject("not_found", f"{path_text(path)} does not exist") from error
    except (OSError, ValueError) as error:
        text = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise reject("unreadable", f"{path_text(path)}: {text}") from error


class _RemoteFile(io.RawIOBase):
    """A remote file of `num_bytes`, of which only the blocks that are asked for are fetched."""

    def __init__(self, address: str, num_bytes: int, timeout_s: float) -> None:
        self._address, self._num_bytes, self._timeout_s = address, num_bytes, timeout_s
        self._place = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._num_bytes}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, target: "memoryview | bytearray") -> int:  # type: ignore[override]
        data = self._read_at(self._place, len(target))
        target[: len(data)] = data
        self._place += len(data)
        return len(data)

    def _read_at(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self._num_bytes)
        if end <= offset:
            return b""
        first, last = offset // _BLOCK_BYTES, (end - 1) // _BLOCK_BYTES
        found = self._fetch(first, last)
        data = b"".join(found[number] for number in range(first, last + 1))
        begin = offset - first * _BLOCK_BYTES
        return data[begin : begin + end - offset]

    def _fetch(self, first: int, last: int) -> dict[int, bytes]:
        """Blocks `first` to `last`; those that are missing come in one request."""
        found = {number: self._blocks[number] for number in range(first, last + 1) if number in self._blocks}
        missing = [number for number in range(first, last + 1) if number not in found]
        if missing:
            offset = missing[0] * _BLOCK_BYTES
            length = min((missing[-1] + 1) * _BLOCK_BYTES, self._num_bytes) - offset
            data = download(self._address, max_bytes=length, timeout_s=self._timeout_s, span=(offset, length))
            for number in range(missing[0], missing[-1] + 1):
                begin = number * _BLOCK_BYTES - offset
                found[number] = data[begin : begin + _BLOCK_BYTES]
        for number in sorted(found):
            self._blocks[number] = found[number]
            self._blocks.move_to_end(number)
        while len(self._blocks) > _MOST_BLOCKS:
            self._blocks.popitem(last=False)
        return found
