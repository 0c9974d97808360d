"""Names and addresses of the machine that the service listens on."""

import ipaddress
import socket

from services.setting_forms import short


def machine(host: str) -> str:
    """The name or the address of a machine; empty: every address of this one."""
    try:
        is_name = host.isprintable() and " " not in host and len(host.encode("idna")) < 256
    except UnicodeError:
        is_name = False
    if not is_name:
        raise ValueError(f"{short(host)} is not the name or address of a machine, such as 127.0.0.1")
    return host


def public_host(host: str) -> str:
    """Return the host in the service's URL: the machine's name if it listens on every address."""
    bare = host.strip("[]")
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return bare or socket.gethostname()
    if address.is_unspecified:
        return socket.gethostname()
    return f"[{bare}]" if address.version == 6 else bare


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
