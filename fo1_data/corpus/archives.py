"""Members of tar archives: read at their offset in a plain archive, else by reading forward.

A compressed tar can only be read from front to back. Each process keeps one cursor; reading members in the
archive's order, as shards do, takes one pass. Nothing is unpacked to disk.
"""

import tarfile
import threading
import zlib
from contextlib import ExitStack
from lzma import LZMAError

from fo1_data.corpus.images import InputLimits
from fo1_data.errors import CorpusError, one_line
from fo1_data.storage.downloads import download
from fo1_data.storage.fetch_rejects import reject, too_large
from fo1_data.storage.streams import open_stream
from schemas.corpus import CorpusImage

BROKEN_TAR = (tarfile.TarError, EOFError, zlib.error, LZMAError, OSError, ValueError)


class StrictTarInfo(tarfile.TarInfo):
    """Raises ReadError for a broken header within an archive; tarfile alone takes it for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "StrictTarInfo":
        try:
            return super().frombuf(buf, encoding, errors)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"broken header: {error}") from error


def text_name(name: str) -> str:
    """A member's name as text that can be encoded as UTF-8, whatever its bytes are."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def read_member(entry: CorpusImage, limits: InputLimits) -> bytes:
    """Read the member `entry.inner` of the tar at `entry.uri`. Raises InputReject (stage `fetch`)."""
    assert entry.inner is not None
    if entry.inner_span is not None:
        return download(
            entry.uri,
            max_bytes=limits.max_bytes,
            timeout_s=limits.download_timeout_s,
            span=entry.inner_span,
        )
    with _LOCK:
        try:
            return _read_forward(entry.uri, entry.inner, limits.max_bytes)
        except CorpusError as error:
            _close_cursors()
            raise reject("unreadable", str(error)) from error
        except BROKEN_TAR as error:
            _close_cursors()
            raise reject("unreadable", f"{entry.name}: {one_line(error)}") from error


_LOCK = threading.Lock()
_cursors: dict[str, "_Cursor"] = {}


def _read_forward(address: str, name: str, max_bytes: int) -> bytes:
    if address in _cursors:
        data = _cursors[address].find(name, max_bytes)
        if data is not None:
            return data
    _close_cursors()
    _cursors[address] = _Cursor(address)
    data = _cursors[address].find(name, max_bytes)
    if data is None:
        raise reject("not_found", f"{address} has no member {name}")
    return data


def _close_cursors() -> None:
    for cursor in _cursors.values():
        cursor.close()
    _cursors.clear()


class _Cursor:
    """A position in a tar that only moves forward."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._is_at_end = False
        with ExitStack() as stack:
            stream = stack.enter_context(open_stream(address))
            self._tar = stack.enter_context(tarfile.open(fileobj=stream, mode="r|*", tarinfo=StrictTarInfo))
            self._stack = stack.pop_all()

    def find(self, name: str, max_bytes: int) -> bytes | None:
        """Read the next member of that name; None if none follows."""
        while not self._is_at_end and (member := self._tar.next()) is not None:
            # tarfile keeps every member that it has read; a long archive would fill the memory.
            self._tar.members = []  # type: ignore[attr-defined]
            if text_name(member.name) != name or not member.isfile():
                continue
            if member.size > max_bytes:
                raise too_large(f"{self._address}::{name}", member.size, max_bytes)
            file = self._tar.extractfile(member)
            assert file is not None
            return file.read()
        self._is_at_end = True
        return None

    def close(self) -> None:
        self._stack.close()
