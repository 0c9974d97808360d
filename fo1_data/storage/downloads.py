"""Reading of one file, local or remote, within limits of size and time.

Temporary faults (an overloaded store, a slow or cut connection) are retried with growing pauses. A file that
cannot be read is an `InputReject` of stage `fetch`, replayable if a later attempt may succeed. Where a store
is away, as behind a cut network, a process waits for it first if `wait_for_stores` says so. Sizes are in
bytes, times in seconds per attempt. Does not interpret the bytes.
"""

import errno
import os
import queue
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx

from fo1_data.errors import ConfigError, InputReject
from fo1_data.storage.addresses import file_system, is_web, local_path, store_of
from fo1_data.storage.outages import Outages
from fo1_data.storage.reach import OutOfReach, check_place, web_client
from schemas.images import RejectStage

NUM_TRIES = 3
FIRST_PAUSE_S = 0.2
_PIECE_BYTES = 2**20
_TEMPORARY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_FORBIDDEN = ("ACCESS_DENIED", "ACCESS DENIED", "HTTP STATUS 403", "FORBIDDEN", "INVALID_ACCESS_KEY_ID")

_outages = Outages()

Span = tuple[int, int]
_Read = TypeVar("_Read")


class _TemporaryFault(Exception):
    """A fault that another attempt may not have."""


def wait_for_stores(patience_s: float) -> None:
    """Let downloads of this process wait so long for an object store that has answered and now does not.

    Not for web servers: a list of addresses has many, and some are always gone.
    """
    _outages.patience_s = patience_s


def download(address: str, *, max_bytes: int, timeout_s: float, span: Span | None = None) -> bytes:
    """Read the bytes of `address`, or of its part `span` (offset, length).

    Raises InputReject (stage `fetch`) with reason `not_found`, `not_a_file`, `too_large`,
    `forbidden`, `timeout` or `unreadable`.
    """
    if span is not None and span[1] > max_bytes:
        raise too_large(address, span[1], max_bytes)
    try:
        check_place(address)
    except OutOfReach as error:
        raise reject("forbidden", str(error), False) from error
    path = local_path(address)
    if path is not None:
        return _read_local(path, max_bytes, span)
    if is_web(address):
        return _retry(address, lambda: _read_web(address, max_bytes, timeout_s, span))
    return _retry_patiently(address, lambda: _read_object(address, max_bytes, timeout_s, span))


def remote_size(address: str, timeout_s: float) -> tuple[int, bool]:
    """The size of a remote file in bytes, and whether parts of it can be read. Raises InputReject."""
    if is_web(address):
        return _retry(address, lambda: _web_size(address, timeout_s))
    return _retry_patiently(address, lambda: _object_size(address, timeout_s))


def reject(reason: str, message: str, replayable: bool = True) -> InputReject:
    """An InputReject of stage `fetch`, with its message on one line of at most 500 characters."""
    return InputReject(RejectStage.FETCH, reason, " ".join(message.split())[:500], replayable)


def too_large(address: str, num_bytes: int | None, max_bytes: int) -> InputReject:
    """The reject of a file over the size limit. `num_bytes` None: its size is not known."""
    size = "more" if num_bytes is None else f"{num_bytes} bytes"
    return reject("too_large", f"{address} has {size}, over the limit max_bytes = {max_bytes}", False)


def _retry_patiently(address: str, read: Callable[[], _Read]) -> _Read:
    """`_retry` in rounds: further ones while the store is away, and a last one once it is back."""
    store, tried_s, was_away, is_last = _store_of(address), 0.0, False, False

    def try_once() -> _Read:
        nonlocal tried_s, was_away
        tried_s = time.monotonic()
        try:
            return read()
        finally:
            was_away = was_away or _outages.is_silent(store, tried_s)

    while True:
        began_s = time.monotonic()
        try:
            found = _retry(address, try_once)
        except InputReject as fault:
            is_temporary = fault.reason in ("timeout", "unreadable") and fault.replayable
            is_back = was_away and _outages.has_answered(store, began_s)
            if is_last or not is_temporary or not (is_back or _outages.is_worth_waiting(store, tried_s)):
                raise
            is_last = is_back
        else:
            _outages.answered(store)
            return found


def _retry(address: str, read: Callable[[], _Read]) -> _Read:
    pause_s = FIRST_PAUSE_S
    for tries_left in reversed(range(NUM_TRIES)):
        try:
            return read()
        except (TimeoutError, httpx.TimeoutException) as error:
            if not tries_left:
                raise reject("timeout", f"{address} did not arrive in time, {NUM_TRIES} times") from error
        except (_TemporaryFault, httpx.TransportError, OSError) as error:
            final = final_reject(address, error)
            if final is not None:
                raise final from error
            if not tries_left:
                raise reject("unreadable", f"{address}: {error or type(error).__name__}") from error
        except (httpx.HTTPError, httpx.InvalidURL, ConfigError, ValueError, RuntimeError) as error:
            raise reject("unreadable", f"{address}: {error or type(error).__name__}") from error
        time.sleep(pause_s)
        pause_s *= 4
    raise AssertionError("the last try returns or raises")


def final_reject(address: str, error: Exception) -> InputReject | None:
    """The reject of an error that an immediate retry would not change; None for other errors."""
    if isinstance(error, FileNotFoundError):
        return reject("not_found", f"{address} does not exist")
    if isinstance(error, IsADirectoryError):
        return reject("not_a_file", f"{address} is a folder", False)
    if isinstance(error, OutOfReach):
        return reject("forbidden", f"{address} may not be fetched: {error}", False)
    if isinstance(error, PermissionError) or any(word in str(error).upper() for word in _FORBIDDEN):
        return reject("forbidden", f"{address} may not be read: {error}")
    return None


def _read_local(path: Path, max_bytes: int, span: Span | None) -> bytes:
    try:
        # Non-blocking: opening a FIFO would wait forever for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _local_reject(path, error) from error
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode):
        os.close(descriptor)
        raise reject("not_a_file", f"{path_text(path)} is not a regular file", False)
    with os.fdopen(descriptor, "rb") as file:
        if span is None and info.st_size > max_bytes:
            raise too_large(path_text(path), info.st_size, max_bytes)
        try:
            if span is not None:
                file.seek(span[0])
                return _check_length(path_text(path), file.read(span[1]), span)
            data = file.read(max_bytes + 1)
        except OSError as error:
            raise _local_reject(path, error) from error
    if len(data) > max_bytes:
        raise too_large(path_text(path), None, max_bytes)
    return data


def path_text(path: Path) -> str:
    """A path as text that can be encoded as UTF-8, whatever its bytes are."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _local_reject(path: Path, error: OSError | ValueError) -> InputReject:
    final = final_reject(path_text(path), error)
    if final is not None:
        return final
    code = error.errno if isinstance(error, OSError) else None
    text = os.strerror(code) if code else str(error)
    is_permanent = isinstance(error, ValueError) or code in (
        errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.ENXIO, errno.EISDIR,
    )  # fmt: skip
    return reject("unreadable", f"{path_text(path)}: {text}", not is_permanent)


def _check_length(address: str, data: bytes, span: Span) -> bytes:
    if len(data) != span[1]:
        raise reject("unreadable", f"{address} ends inside a member of {span[1]} bytes", False)
    return data


def _read_web(address: str, max_bytes: int, timeout_s: float, span: Span | None) -> bytes:
    deadline = time.monotonic() + timeout_s
    headers = {} if span is None else {"Range": f"bytes={span[0]}-{span[0] + max(span[1], 1) - 1}"}
    with web_client().stream("GET", address, headers=headers, timeout=timeout_s) as response:
        _check_status(address, response)
        skip = span[0] if span is not None and response.status_code == 200 else 0
        limit = max_bytes if span is None else span[1]
        declared = response.headers.get("content-length", "")
        if span is None and declared.isdigit() and int(declared) > max_bytes:
            raise too_large(address, int(declared), max_bytes)
        data = bytearray()
        for piece in response.iter_bytes():
            data += piece[skip:]
            skip = max(0, skip - len(piece))
            if time.monotonic() > deadline:
                raise TimeoutError(f"{address}: over {timeout_s} s")
            if span is None and len(data) > limit:
                raise too_large(address, None, max_bytes)
            if span is not None and len(data) >= limit:
                break
    return bytes(data) if span is None else _check_length(address, bytes(data[:limit]), span)


def _web_size(address: str, timeout_s: float) -> tuple[int, bool]:
    with web_client().stream("GET", address, headers={"Range": "bytes=0-0"}, timeout=timeout_s) as response:
        _check_status(address, response)
        total = response.headers.get("content-range", "").rpartition("/")[2]
        if response.status_code == 206 and total.isdigit():
            return int(total), True
        length = response.headers.get("content-length", "")
        return int(length) if length.isdigit() else 0, False


def _object_size(address: str, timeout_s: float) -> tuple[int, bool]:
    files, path = file_system(address, timeout_s)
    with files.open_input_file(path) as file:
        return int(file.size()), True


def _check_status(address: str, response: httpx.Response) -> None:
    status = response.status_code
    if status in _TEMPORARY_STATUS:
        raise _TemporaryFault(f"the server answered {status}")
    if status in (404, 410):
        raise FileNotFoundError(address)
    if status in (401, 403):
        raise PermissionError(f"the server answered {status}")
    if status >= 300:
        raise reject("unreadable", f"{address}: the server answered {status}")


def _read_object(address: str, max_bytes: int, timeout_s: float, span: Span | None) -> bytes:
    files, path = file_system(address, timeout_s)

    def read() -> bytes:
        with files.open_input_file(path) as file:
            size = file.size()
            _outages.answered(store_of(address))
            if span is None and size > max_bytes:
                raise too_large(address, size, max_bytes)
            offset, length = span or (0, size)
            if offset + length > size:
                return _check_length(address, b"", (offset, length))
            file.seek(offset)
            data = bytearray()
            while len(data) < length:
                piece = file.read(min(_PIECE_BYTES * 8, length - len(data)))
                if not piece:
                    raise _TemporaryFault(f"{len(data)} of {length} bytes arrived")
                _outages.answered(store_of(address))
                data += piece
            return bytes(data)

    return _within(timeout_s, read)


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
