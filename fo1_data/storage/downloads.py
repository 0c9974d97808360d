"""Reading of one file, local or remote, within limits of size and time.

Temporary faults (an overloaded store, a slow or cut connection) are retried with growing pauses. A file that
cannot be read is an `InputReject` of stage `fetch`, replayable if a later attempt may succeed. Where a store
is away, as behind a cut network, a process waits for it first if `wait_for_stores` says so. Sizes are in
bytes, times in seconds per attempt. Does not interpret the bytes.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import httpx

from fo1_data.errors import ConfigError, InputReject
from fo1_data.storage.addresses import is_web, local_path, store_of
from fo1_data.storage.fetch_rejects import Span, TemporaryFault, final_reject, reject, too_large
from fo1_data.storage.local_files import read_local
from fo1_data.storage.object_files import object_size, read_object
from fo1_data.storage.outages import Outages
from fo1_data.storage.reach import OutOfReach, check_place
from fo1_data.storage.web_files import read_web, web_size

NUM_TRIES = 3
FIRST_PAUSE_S = 0.2

_outages = Outages()

_Read = TypeVar("_Read")


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
        return read_local(path, max_bytes, span)
    if is_web(address):
        return _retry(address, lambda: read_web(address, max_bytes, timeout_s, span))
    answered = partial(_outages.answered, store_of(address))
    return _retry_patiently(address, lambda: read_object(address, max_bytes, timeout_s, span, answered))


def remote_size(address: str, timeout_s: float) -> tuple[int, bool]:
    """The size of a remote file in bytes, and whether parts of it can be read. Raises InputReject."""
    if is_web(address):
        return _retry(address, lambda: web_size(address, timeout_s))
    return _retry_patiently(address, lambda: object_size(address, timeout_s))


def _retry_patiently(address: str, read: Callable[[], _Read]) -> _Read:
    """`_retry` in rounds: further ones while the store is away, and a last one once it is back."""
    store, tried_s, was_away, is_last = store_of(address), 0.0, False, False

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
        except (TemporaryFault, httpx.TransportError, OSError) as error:
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
