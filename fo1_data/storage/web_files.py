"""Reading of one file of a web server, whole or a part of it: one try."""

import time

import httpx

from fo1_data.storage.fetch_rejects import Span, TemporaryFault, check_length, reject, too_large
from fo1_data.storage.reach import web_client

_TEMPORARY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


def read_web(address: str, max_bytes: int, timeout_s: float, span: Span | None) -> bytes:
    """The bytes of a file. Raises InputReject for what is final, and what the connection raises."""
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
    return bytes(data) if span is None else check_length(address, bytes(data[:limit]), span)


def web_size(address: str, timeout_s: float) -> tuple[int, bool]:
    """The size of a file, and whether parts of it can be read. Raises as `read_web`."""
    with web_client().stream("GET", address, headers={"Range": "bytes=0-0"}, timeout=timeout_s) as response:
        _check_status(address, response)
        total = response.headers.get("content-range", "").rpartition("/")[2]
        if response.status_code == 206 and total.isdigit():
            return int(total), True
        length = response.headers.get("content-length", "")
        return int(length) if length.isdigit() else 0, False


def _check_status(address: str, response: httpx.Response) -> None:
    status = response.status_code
    if status in _TEMPORARY_STATUS:
        raise TemporaryFault(f"the server answered {status}")
    if status in (404, 410):
        raise FileNotFoundError(address)
    if status in (401, 403):
        raise PermissionError(f"the server answered {status}")
    if status >= 300:
        raise reject("unreadable", f"{address}: the server answered {status}")
