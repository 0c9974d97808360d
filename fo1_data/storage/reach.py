"""Limits on what may be fetched for untrusted users: only the service's storage roots, no private network.

Two environment variables, which the service sets for the drivers and labellers it starts, set the limits:
`FO1_JOB_ROOTS` (a JSON list of folders and URLs; other places are refused, after symlinks are followed) and
`FO1_JOB_PUBLIC_ONLY=1` (web addresses on private, loopback or link-local networks are refused). Without them
everything may be fetched, as from the command line. A process that serves many callers sets the second limit
for a block of code with `public_only`.

A host is resolved once and the connection goes to the address that was checked, so a name whose answer
changes in between (DNS rebinding) cannot pass the check. Each redirect is checked the same way.
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
    """Raise OutOfReach if a path or URL is outside the roots that are set, also by a symlink.

    Web addresses are not checked here: `web_client` refuses those that are not public.
    """
    roots = _roots(os.environ.get(ROOTS))
    if roots is None or is_web(address):
        return
    path = local_path(address)
    if path is None:
        is_inside = any(address == root or address.startswith(f"{root}/") for root in roots.urls)
        if not is_inside or ".." in address.split("/"):
            raise OutOfReach(f"{address} is outside the storage roots")
        return
    target = Path(os.path.realpath(path))
    if not any(target == root or root in target.parents for root in roots.folders):
        raise OutOfReach(f"{path} is outside the storage roots")


@lru_cache(maxsize=2)
def _client(public_only: bool) -> httpx.Client:
    headers = {"Accept-Encoding": "identity"}
    if not public_only:
        return httpx.Client(follow_redirects=True, headers=headers)
    # No proxy, because it would resolve the name itself.
    transport = PublicOnly(httpx.HTTPTransport(trust_env=False))
    return httpx.Client(follow_redirects=True, headers=headers, transport=transport, trust_env=False)


def web_client() -> httpx.Client:
    """The HTTP client for web addresses, with the limits that are set."""
    setting = _public_only.get()
    return _client(os.environ.get(PUBLIC_ONLY, "") in ("1", "true") if setting is None else setting)


@contextmanager
def public_only(switched_on: bool) -> Iterator[None]:
    """Set, for the block and in this thread or task, whether web addresses must be public."""
    before = _public_only.set(switched_on)
    try:
        yield
    finally:
        _public_only.reset(before)


def resolve(host: str, port: int) -> list[str]:
    """The IP addresses of a host, from the system's resolver."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


def public_address(host: str, port: int, resolve_host: Resolve = resolve) -> str:
    """A public IP address of `host`. Raises OutOfReach if any of its addresses is not public."""
    try:
        addresses = list(resolve_host(host, port))
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(f"{host} cannot be resolved: {error}") from error
    for address in addresses:
        if not _is_public(address):
            raise OutOfReach(f"{host} is {address}, which is not on the public internet")
    if not addresses:
        raise httpx.ConnectError(f"{host} has no address")
    return addresses[0]


# Mapped (RFC 4291), compatible (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052).
_EMBEDS_IPV4 = tuple(
    map(ipaddress.IPv6Network, ("::ffff:0:0/96", "::/96", "::ffff:0:0:0/96", "64:ff9b::/96"))
)


class PublicOnly(httpx.BaseTransport):
    """Sends requests to public addresses only, each to the address that was checked."""

    def __init__(self, inner: httpx.BaseTransport, resolve_host: Resolve = resolve) -> None:
        self._inner, self._resolve = inner, resolve_host

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        address = public_address(host, port, self._resolve)
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,  # Host stays the requested name
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        return self._inner.handle_request(pinned)

    def close(self) -> None:
        self._inner.close()


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.split("%", 1)[0])
    embedded = _embedded_ipv4(ip) if isinstance(ip, ipaddress.IPv6Address) else None
    if embedded is not None and not (embedded.is_global and not embedded.is_multicast):
        return False
    is_site_local = isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local
    return ip.is_global and not ip.is_multicast and not is_site_local


def _embedded_ipv4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address to which a translator or tunnel would forward, if the address embeds one."""
    if address.sixtofour is not None:
        return address.sixtofour
    if any(address in network for network in _EMBEDS_IPV4):
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
