"""A real PostgreSQL on a free loopback port, which tests can stop and start."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def postgres_binaries() -> Path | None:
    initdb = shutil.which("initdb")
    if initdb is not None:
        return Path(initdb).parent
    return next((folder for folder in _BINARIES if (folder / "initdb").exists()), None)


def _unprivileged() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: as root its programs run as `postgres` or `nobody`."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise AssertionError("no unprivileged user to run PostgreSQL as")


@dataclass
class PostgresServer:
    """A server with its files in `folder`. `url`: its maintenance database."""

    binaries: Path
    folder: Path
    port: int
    user: dict[str, Any]

    @property
    def url(self) -> str:
        return f"postgresql://fo1@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -c fsync=off"
        self._control(
            "-w", "-t", "60", "-l", self.folder / "log", "start", "-o", f"{options} -c max_connections=200"
        )

    def stop(self) -> None:
        self._control("-m", "immediate", "-w", "stop")

    def _control(self, *arguments: str | Path) -> None:
        command = [self.binaries / "pg_ctl", "-D", self.folder / "data", *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **self.user)


@contextmanager
def postgres_running(binaries: Path) -> Iterator[PostgresServer]:
    """Start a fresh server; at the end of the block stop it and remove its files."""
    folder, user = Path(tempfile.mkdtemp(prefix="fo1-pg-")), _unprivileged()
    if user:
        os.chown(folder, user["user"], user["group"])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    initdb = [
        binaries / "initdb",
        "-D",
        folder / "data",
        "-U",
        "fo1",
        "-A",
        "trust",
        "--no-sync",
        "-E",
        "UTF8",
    ]
    subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **user)
    server = PostgresServer(binaries, folder, port, user)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
