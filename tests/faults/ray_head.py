"""A Ray on loopback that outlives its drivers, whose parts can be killed, and which can be started again."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

STARTS_WITHIN_S = 120.0
PARTS = ("gcs_server", "raylet")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RayHead:
    """One machine's Ray: `start`, `stop`, and `parts` to be hurt. `address`: for drivers."""

    def __init__(self, environment: dict[str, str], cpus: int = 4) -> None:
        self._environment = {**environment, "RAY_USAGE_STATS_ENABLED": "0"}
        self._cpus = cpus
        self._process: subprocess.Popen[bytes] | None = None
        self._port = free_port()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it unless it runs; what is left of one that was hurt goes first."""
        if self._process is not None and self._process.poll() is None and len(self.parts()) == len(PARTS):
            return
        self.stop()
        self._port = free_port()
        folder = tempfile.mkdtemp(prefix="fo1f", dir="/tmp")
        command = [
            sys.executable, "-m", "actors.head", "--block", "--node-ip-address=127.0.0.1",
            f"--port={self._port}", "--include-dashboard=false", "--disable-usage-stats",
            f"--num-cpus={self._cpus}", f"--object-store-memory={80 * 2**20}", f"--temp-dir={folder}",
            f"--dashboard-agent-listen-port={free_port()}", f"--metrics-export-port={free_port()}",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=(Path(folder) / "head.log").open("wb"),
            start_new_session=True,
        )
        deadline_s = time.monotonic() + STARTS_WITHIN_S
        while not self._listens() or len(self.parts()) < len(PARTS):
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"Ray did not start: {folder}/head.log")
            time.sleep(0.1)

    def parts(self) -> list[psutil.Process]:
        """The processes of the head that can be hurt, in the order of `PARTS`."""
        found = {process.name(): process for process in self.processes()}
        return [found[name] for name in PARTS if name in found]

    def processes(self) -> list[psutil.Process]:
        """All processes of this Ray."""
        if self._process is None:
            return []
        alive = []
        with suppress(psutil.Error):
            for process in psutil.Process(self._process.pid).children(recursive=True):
                with suppress(psutil.Error):
                    if process.status() != psutil.STATUS_ZOMBIE:
                        alive.append(process)
        return alive

    def labellers(self) -> list[psutil.Process]:
        """The labelling processes on it."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error, IndexError):
                if process.cmdline()[0].startswith("ray::Labeller"):
                    found.append(process)
        return found

    def stop(self) -> None:
        """End it and all of its processes."""
        if self._process is None:
            return
        left = self.processes()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        self._process.wait()
        self._process = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0
