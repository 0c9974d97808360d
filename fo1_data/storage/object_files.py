"""Reading of one file of an object store, whole or a part of it: one try."""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fo1_data.storage.addresses import file_system
from fo1_data.storage.fetch_rejects import Span, TemporaryFault, check_length, too_large

_PIECE_BYTES = 2**23


def read_object(
    address: str, max_bytes: int, timeout_s: float, span: Span | None, answered: Callable[[], None]
) -> bytes:
    """The bytes of a file. answered: called at each sign of life of the store.

    Raises InputReject for what is final, and what the store's client raises.
    """
    files, path = file_system(address, timeout_s)

    def read() -> bytes:
        with files.open_input_file(path) as file:
            size = file.size()
            answered()
            if span is None and size > max_bytes:
                raise too_large(address, size, max_bytes)
            offset, length = span or (0, size)
            if offset + length > size:
                return check_length(address, b"", (offset, length))
            file.seek(offset)
            data = bytearray()
            while len(data) < length:
                piece = file.read(min(_PIECE_BYTES, length - len(data)))
                if not piece:
                    raise TemporaryFault(f"{len(data)} of {length} bytes arrived")
                answered()
                data += piece
            return bytes(data)

    return _within(timeout_s, read)


def object_size(address: str, timeout_s: float) -> tuple[int, bool]:
    """The size of a file, and that parts of it can be read. Raises what the store's client raises."""
    files, path = file_system(address, timeout_s)
    with files.open_input_file(path) as file:
        return int(file.size()), True


def _within(timeout_s: float, work: Callable[[], bytes]) -> bytes:
    """Run `work` for at most `timeout_s`, in a thread. Raises TimeoutError.

    A store's client limits the time without data, not the total time, and cannot be interrupted: after a
    timeout its thread goes on until its request ends.
    """
    results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((work(), None))
        except BaseException as error:
            results.put((None, error))

    threading.Thread(target=run, daemon=True, name="download").start()
    with suppress(queue.Empty):
        data, error = results.get(timeout=timeout_s)
        if error is not None:
            raise error
        assert isinstance(data, bytes)
        return data
    raise TimeoutError(f"over {timeout_s} s")
