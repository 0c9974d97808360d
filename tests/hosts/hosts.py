"""Several hosts on this machine: each has an address, a disk, a name and processes of its own.

A host is a network, mount, process and name space of Linux. Its /tmp, with its home in it, is a folder that
no other host sees, and its memory file system is its own. All hosts are behind one router, which is a network
namespace too: what it drops is lost without a word, as on a broken network. Needs root, iproute2 and
util-linux.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import IO

import psutil

_SETUP = """
set -e
mount --make-rprivate /
mount --bind "$1" /tmp
mkdir -p /tmp/home
mount -t tmpfs -o size=512m tmpfs /dev/shm
hostname "$2"
touch /tmp/.booted
exec sleep infinity
"""


class Cut(Enum):
    """Which packets of a host the router drops: those to it, those from it, or both."""

    TO = ("to",)
    FROM = ("from",)
    BOTH = ("to", "from")


def ip(*arguments: str, netns: str | None = None) -> None:
    """Run iproute2's `ip`, in a network namespace."""
    where = ["-n", netns] if netns else []
    subprocess.run(["ip", *where, *arguments], check=True, capture_output=True, text=True)


class Network:
    """The router and the hosts behind it, as a context manager. Their disks are in `folder`.

    number: of this network, where several exist at a time. Its addresses are in 10.(77 + number).0.0/16.
    Removes only namespaces that it made. Raises RuntimeError if there are any of its number.
    """

    def __init__(self, folder: Path, number: int = 0) -> None:
        self._folder, self._prefix, self._net = folder, f"fo1-{number}", f"10.{77 + number}"
        self._router = f"{self._prefix}-router"
        self._hosts: dict[str, Host] = {}
        self._made: list[str] = []

    def __enter__(self) -> "Network":
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
        names = [line.split()[0] for line in listed.splitlines()]
        if taken := [name for name in names if name.startswith(f"{self._prefix}-")]:
            raise RuntimeError(
                f"another run uses these namespaces, or a killed one left them: {', '.join(taken)}; "
                "choose another --network, or remove them with `ip netns delete NAME`"
            )
        self._add_namespace(self._router)
        ip("link", "set", "lo", "up", netns=self._router)
        forward = ["sysctl", "-qw", "net.ipv4.ip_forward=1"]
        subprocess.run(["ip", "netns", "exec", self._router, *forward], check=True)
        self._link(0, None)
        return self

    def __exit__(self, *_: object) -> None:
        for host in self._hosts.values():
            host.kill()
        for name in self._made:
            ip("netns", "delete", name)

    def host(self, name: str) -> "Host":
        """The host of that name, made and booted if there is none."""
        if name not in self._hosts:
            namespace = f"{self._prefix}-{name}"
            self._add_namespace(namespace)
            address = self._link(len(self._hosts) + 1, namespace)
            self._hosts[name] = Host(name, address, namespace, self._router, self._folder / name)
        return self._hosts[name]

    def _link(self, number: int, namespace: str | None) -> str:
        """Connect a namespace (None: this process' own) to the router; returns its address."""
        inner, outer = f"{self._prefix}-{number}a", f"{self._prefix}-{number}b"
        address, gateway = f"{self._net}.{number}.2", f"{self._net}.{number}.1"
        ip("link", "add", inner, "type", "veth", "peer", "name", outer)
        ip("link", "set", outer, "netns", self._router)
        ip("address", "add", f"{gateway}/24", "dev", outer, netns=self._router)
        ip("link", "set", outer, "up", netns=self._router)
        if namespace is not None:
            ip("link", "set", inner, "netns", namespace)
            ip("link", "set", "lo", "up", netns=namespace)
        ip("address", "add", f"{address}/24", "dev", inner, netns=namespace)
        ip("link", "set", inner, "up", netns=namespace)
        ip("route", "add", f"{self._net}.0.0/16", "via", gateway, netns=namespace)
        return address

    def _add_namespace(self, name: str) -> None:
        ip("netns", "add", name)
        self._made.append(name)


class Host:
    """One host. `boot` starts it, `kill` takes its power, and its disk stays for the next `boot`."""

    def __init__(self, name: str, address: str, namespace: str, router: str, disk: Path) -> None:
        self.name, self.address, self.disk = name, address, disk
        self._namespace, self._router = namespace, router
        self._init: subprocess.Popen[bytes] | None = None
        self.boot()

    def boot(self) -> None:
        """Start the host, with what is on its disk and no process; nothing happens if it runs."""
        if self._init is not None:
            return
        self.disk.mkdir(exist_ok=True)
        booted = self.disk / ".booted"
        booted.unlink(missing_ok=True)
        ends_with_us = ["setpriv", "--pdeathsig", "KILL"]
        within = ["ip", "netns", "exec", self._namespace]
        spaces = ["--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
        self._init = subprocess.Popen(
            [*ends_with_us, *within, "unshare", *spaces, "sh", "-c", _SETUP, "sh", str(self.disk), self.name]
        )
        while not booted.exists():
            if self._init.poll() is not None:
                raise RuntimeError(f"host {self.name} cannot be started: are network namespaces permitted?")
            time.sleep(0.02)
        self.heal()

    def start(
        self, command: list[str], settings: Mapping[str, str], out: IO[bytes] | int | None = None
    ) -> subprocess.Popen[bytes]:
        """Run a command on the host, its output (both streams) to `out`."""
        inside = [
            "nsenter",
            "--target",
            str(self._first_process().pid),
            "--mount",
            "--pid",
            "--net",
            "--uts",
            "--wd=/",
        ]
        basic = {"PATH": os.environ["PATH"], "HOME": "/tmp/home", "LANG": "C.UTF-8"}
        return subprocess.Popen(
            [*inside, *command], env={**basic, **settings}, stdout=out, stderr=subprocess.STDOUT
        )

    def processes(self) -> list[psutil.Process]:
        """The processes of the host that outlived those that started them."""
        return self._first_process().children(recursive=True)

    def _first_process(self) -> psutil.Process:
        assert self._init is not None
        (first,) = psutil.Process(self._init.pid).children()
        return first

    def cut(self, which: Cut) -> None:
        """Lose packets of the host at the router, until `heal`."""
        for side in which.value:
            ip("rule", "add", side, self.address, "blackhole", netns=self._router)

    def cut_from(self, other: "Host") -> None:
        """Lose what the host sends to another, until `heal`."""
        ip("rule", "add", "from", self.address, "to", other.address, "blackhole", netns=self._router)

    def heal(self) -> None:
        """Let the packets of the host pass that `cut` and `cut_from` lose."""
        for side in Cut.BOTH.value:
            with suppress(subprocess.CalledProcessError):
                while True:  # a host that was cut off before its power was taken has two rules a side
                    ip("rule", "del", side, self.address, "blackhole", netns=self._router)

    def kill(self) -> None:
        """Take the host's power: neither its processes nor its kernel send a farewell."""
        if self._init is None:
            return
        self.cut(Cut.BOTH)
        for child in psutil.Process(self._init.pid).children():
            child.send_signal(signal.SIGKILL)
        self._init.wait()
        self._init = None
