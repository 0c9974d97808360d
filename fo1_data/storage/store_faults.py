"""Whether an error came of a store or server that failed by itself, not of what it was asked for.

It failed if it gave no answer, one that was cut or makes no sense, or one that says that the trouble is its
own (HTTP 5xx, too many requests). A file that is not there, credentials that are refused and a host without
an address are answers about the request. Knows the errors of Arrow, fsspec's stores, httpx and the operating
system; an error is judged by what caused it, too.
"""

import errno
import re
import socket
from collections.abc import Iterator
from typing import Any

from fo1_data.storage.fetch_rejects import TemporaryFault

_ARROW_STATUS = re.compile(r"HTTP status (-?\d+)")
# Arrow names the errors of S3 that it knows, and writes the status of others.
_ARROW_FAULT = re.compile(
    r"AWS Error (NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|THROTTLING"
    r"|REQUEST_TIMEOUT)"
    r"|google::cloud::Status\((UNAVAILABLE|DEADLINE_EXCEEDED|INTERNAL|RESOURCE_EXHAUSTED|ABORTED)"
)
_NO_ADDRESS = "curlCode: 6,"
_BROKEN_ANSWER = -1  # Arrow's status of an answer that is no XML
_SILENT = frozenset(
    {
        errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT,
        errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN, errno.EIO, errno.ESTALE,
    }
)  # fmt: skip
_SILENT_IN_HTTPX = ("TimeoutException", "NetworkError", "RemoteProtocolError", "ProxyError")
# Of packages that are loaded only where a store needs them.
_SILENT_TYPES = frozenset(
    {
        *((client, name) for client in ("httpx", "httpx2") for name in _SILENT_IN_HTTPX),
        ("botocore", "ConnectionError"),
        ("botocore", "HTTPClientError"),
        ("aiohttp", "ClientConnectionError"),
        ("aiohttp", "ClientPayloadError"),
    }
)


def store_failed(error: BaseException) -> bool:
    """Whether a store or server failed by itself, by the error and what it was raised from."""
    links = list(_chain(error))
    statuses = [status for link in links if (status := _status(link)) is not None]
    if statuses:
        return any(map(_is_own_trouble, statuses))
    if any(isinstance(link, socket.gaierror) or _NO_ADDRESS in str(link) for link in links):
        return False
    return any(map(_is_silence, links))


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        yield link
        seen.add(id(link))
        link = link.__cause__ or link.__context__


def _status(error: BaseException) -> int | None:
    """The status of the answer that an error tells of: httpx', the hub's, botocore's, Arrow's."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(response, "status_code", None)
    if isinstance(status, int):
        return status
    found = _ARROW_STATUS.search(str(error)) if type(error) is OSError else None
    return int(found[1]) if found else None


def _is_own_trouble(status: int) -> bool:
    # 501: the store never does what was asked.
    return status in (_BROKEN_ANSWER, 408, 425, 429) or (500 <= status < 600 and status != 501)


def _is_silence(error: BaseException) -> bool:
    if isinstance(error, (TemporaryFault, TimeoutError)):
        return True
    if isinstance(error, OSError) and (error.errno in _SILENT or _ARROW_FAULT.search(str(error))):
        return True
    names = {(cls.__module__.partition(".")[0], cls.__name__) for cls in type(error).__mro__}
    return not names.isdisjoint(_SILENT_TYPES)
