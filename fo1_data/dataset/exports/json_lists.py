"""Lists of a JSON document that are too long for memory, kept on disk while they are made."""

import json
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

_CHUNK_BYTES = 2**20
_HELD_BYTES = 64 * 2**20


class JsonList:
    """A JSON list that grows at its end; a context manager, since it may be a file."""

    def __init__(self) -> None:
        self._items = tempfile.SpooledTemporaryFile(_HELD_BYTES)  # noqa: SIM115 - closed at the end of this one

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._items.close()

    def append(self, item: Any) -> None:
        """Add an item. Raises ValueError if it has a number that is not finite."""
        self._items.write((b", " if self._items.tell() else b"[") + json_bytes(item))

    def chunks(self) -> Iterator[bytes]:
        """The whole list, in pieces; nothing can be added after it."""
        self._items.write(b"]" if self._items.tell() else b"[]")
        self._items.seek(0)
        yield from iter(lambda: self._items.read(_CHUNK_BYTES), b"")


def json_bytes(value: Any) -> bytes:
    """A value as JSON. Raises ValueError if it has a number that is not finite."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
