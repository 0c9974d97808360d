"""What fetching may touch when others say what is fetched: a service's storage roots, and no private network.

Two environment variables, set by the service for the drivers and labellers it starts, switch it on:
`FO1_JOB_ROOTS` (a JSON list of folders and URLs; places elsewhere are refused, symlinks followed first)
and `FO1_JOB_PUBLIC_ONLY=1` (web addresses that lead to private, loopback or link-local networks are
refused). Without them everything may be fetched, as from a command line. A process that serves many
callers says the same of one piece of work by `public_only`.

A host is resolved once and that very address is connected to: a name that changes its answer between
the check and the connection (DNS rebinding) gains nothing. Each redirect is checked the same way.
"""

import ipaddress
import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import httpx

from fo1_data.storage.addresses import is_web, local_path

ROOTS = "FO1_JOB_ROOTS"
PUBLIC_ONLY = "FO1_JOB_PUBLIC_ONLY"

Resolve = Callable[[str, int], Iterable[str]]
_public_only: ContextVar[bool | None] = ContextVar("public_only", default=None)


class OutOfReach(PermissionError):
    """A place that may not be fetched from."""


def check_place(address: str) -> None:
    """Raise OutOfReach where a path or URL lies, or leads, outside the roots that are set.

    Web addresses lie in no folder: `web_client` keeps those out that are not public.
    """
    roots = _roots(os.environ.get(ROOTS))
    if roots is None or is_web(address):
        return
    path = local_path(address)
    if path is None:
        inside = any(address == root or address.startswith(f"{root}/") for root in roots.urls)
        if not inside or ".." in address.split("/"):
            raise OutOfReach(f"{address} is outside the storage roots")
        return
    real = Path(os.path.realpath(path))
    if not any(real == root or root in real.parents for root in roots.folders):
        raise OutOfReach(f"{path} is outside the storage roots")


@lru_cache(maxsize=2)
def _client(public_only: bool) -> httpx.Client:
    headers = {"Accept-Encoding": "identity"}
    if not public_only:
        return httpx.Client(follow_redirects=True, headers=headers)
    # A proxy would resolve the name itself: it is not used.
    transport = PublicOnly(httpx.HTTPTransport(trust_env=False))
    return httpx.Client(follow_redirects=True, headers=headers, transport=transport, trust_env=False)


def web_client() -> httpx.Client:
    """The client that fetches from the web, as far as it may."""
    told = _public_only.get()
    return _client(os.environ.get(PUBLIC_ONLY, "") in ("1", "true") if told is None else told)


@contextmanager
def public_only(switched_on: bool) -> Iterator[None]:
    """Within the block (of this thread or task), web addresses must be public, or need not be."""
    before = _public_only.set(switched_on)
    try:
        yield
    finally:
        _public_only.reset(before)


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system tells them."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


def public_address(host: str, port: int, resolve_host: Resolve = resolve) -> str:
    """An address of `host` that is public. Raises OutOfReach where any of its addresses is not."""
    try:
        found = list(resolve_host(host, port))
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(f"{host} cannot be resolved: {error}") from error
    for address in found:
        if not _is_public(address):
            raise OutOfReach(f"{host} is {address}, which is not on the public internet")
    if not found:
        raise httpx.ConnectError(f"{host} has no address")
    return found[0]


# Mapped (RFC 4291), compatible (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052).
_ENDS_IN_IPV4 = tuple(
    map(ipaddress.IPv6Network, ("::ffff:0:0/96", "::/96", "::ffff:0:0:0/96", "64:ff9b::/96"))
)


class PublicOnly(httpx.BaseTransport):
    """Sends requests to public addresses alone, each to the very address that was checked."""

    def __init__(self, inner: httpx.BaseTransport, resolve_host: Resolve = resolve) -> None:
        self._inner, self._resolve = inner, resolve_host

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        address = public_address(host, port, self._resolve)
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,  # Host stays the name that was asked for
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        return self._inner.handle_request(pinned)

    def close(self) -> None:
        self._inner.close()


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.split("%", 1)[0])
    inner = _inner_ipv4(found) if isinstance(found, ipaddress.IPv6Address) else None
    if inner is not None and not (inner.is_global and not inner.is_multicast):
        return False
    in_site = isinstance(found, ipaddress.IPv6Address) and found.is_site_local
    return found.is_global and not found.is_multicast and not in_site


def _inner_ipv4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that a translator or tunnel would send on to, if the address names one."""
    if address.sixtofour is not None:
        return address.sixtofour
    if any(address in network for network in _ENDS_IN_IPV4):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


@dataclass(frozen=True)
class _Roots:
    folders: tuple[Path, ...]
    urls: tuple[str, ...]


@lru_cache(maxsize=8)
def _roots(setting: str | None) -> _Roots | None:
    if setting is None:
        return None
    folders, urls = [], []
    for root in json.loads(setting):
        path = local_path(root)
        if path is None:
            urls.append(root.rstrip("/"))
        else:
            folders.append(Path(os.path.realpath(path)))
    return _Roots(tuple(folders), tuple(urls))
