"""A Ray cluster over several hosts, an object store on another, and `fo1 label` on the head.

The hosts share no folder but the installed packages: the corpus, the dataset and the model are in the store.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from enum import Enum
from pathlib import Path

import boto3
from hosts import Host, Network

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
QUICK = ROOT / "tests" / "actors"
RAY_PORT, STORE_PORT, REDIS_PORT = 6379, 9000, 6380
BUCKET = "fo1"
STARTS = 3
PATIENCE = {"RAY_gcs_server_port_wait_time_s": "120"}
OBJECT_STORE_BYTES = 100 * 2**20
SCRIPTS = Path(sys.executable).parent


class HeadState(Enum):
    """Where Ray's head keeps the state of the cluster: MEMORY dies with it."""

    MEMORY = "memory"
    ROCKSDB = "a folder of its disk"
    REDIS = "a Redis on another host"


class StoreHost:
    """A host with a server that speaks S3, and one bucket in it."""

    def __init__(self, network: Network) -> None:
        self.host = network.host("store")
        self.endpoint = f"http://{self.host.address}:{STORE_PORT}"
        log = (self.host.disk / "store.log").open("wb")
        command = [sys.executable, "-m", "moto.server", "-H", "0.0.0.0", "-p", str(STORE_PORT)]
        self.host.start(command, {"PYTHONPATH": ""}, log)
        wait_for(lambda: listens(self.host.address, STORE_PORT), 60, "the object store")
        os.environ.update(self.settings)
        self.client = boto3.client("s3")
        self.client.create_bucket(Bucket=BUCKET)

    @property
    def settings(self) -> dict[str, str]:
        """The environment with which every program finds the store."""
        return {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start_redis(self) -> str:
        """Start a Redis on the host of the store; returns its address."""
        self.host.start(
            ["redis-server", "--port", str(REDIS_PORT), "--protected-mode", "no", "--save", ""], {}
        )
        wait_for(lambda: listens(self.host.address, REDIS_PORT), 30, "Redis")
        return f"{self.host.address}:{REDIS_PORT}"

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


class RayHosts:
    """A head without CPUs for labellers, and workers with one CPU each.

    image_s: how long a worker labels an image, in seconds.
    """

    def __init__(self, network: Network, store: StoreHost, state: HeadState, image_s: float) -> None:
        self._network, self._store, self.image_s = network, store, image_s
        self.head = network.host("head")
        self.address = f"{self.head.address}:{RAY_PORT}"
        self.settings = {
            **store.settings,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "0" * 64,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",  # as on machines of their own: they wait for nothing else of this one
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(QUICK),
        }
        self._head_settings = {}
        if state is HeadState.ROCKSDB:
            self._head_settings = {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": "/tmp/gcs"}
        elif state is HeadState.REDIS:
            self._head_settings = {"RAY_REDIS_ADDRESS": store.start_redis()}

    def start_head(self, *more: str, **settings: str) -> None:
        """Start Ray's head on the head host, which may have had one before. more: options of `ray start`."""
        where = ["--head", f"--port={RAY_PORT}", "--include-dashboard=false", "--num-cpus=0"]
        self._start_ray(self.head, [*where, *more], {**self._head_settings, **settings})

    def start_apart(self, host: Host) -> None:
        """Start a Ray of its own on a host, outside the cluster."""
        self._start_ray(host, ["--head", f"--port={RAY_PORT}", "--include-dashboard=false"], {})

    def start_workers(self, *names: str, **settings: str) -> None:
        """Start a worker of one CPU on each of the hosts, which are booted if they have no power."""
        where = [f"--address={self.address}", "--num-cpus=1"]
        chosen = {"QUICK_IMAGE_S": str(self.image_s), **settings}
        for name in names:
            self._start_ray(self._network.host(name), where, chosen)

    def _start_ray(self, host: Host, where: list[str], settings: dict[str, str]) -> None:
        command = [sys.executable, str(HERE / "patient_ray.py"), "start", f"--node-ip-address={host.address}"]
        command += where
        command += [f"--object-store-memory={OBJECT_STORE_BYTES}", "--disable-usage-stats"]
        log = host.disk / "ray.log"
        for _ in range(STARTS):
            host.boot()
            if host.start(command, {**self.settings, **PATIENCE, **settings}, log.open("ab")).wait() == 0:
                return
            host.kill()
        raise RuntimeError(f"ray start failed on {host.name}: {log.read_text()[-800:]}")


class Driver:
    """A labelling run, as a process on a host. Times are seconds of this machine's monotonic clock.

    lines: its output, each with the seconds since its start; also in `driver.log` of the host's disk.
    """

    def __init__(self, host: Host, command: list[str], settings: dict[str, str]) -> None:
        self.lines: list[tuple[float, str]] = []
        self.started_s = time.monotonic()
        self.ended_s = float("inf")
        self._log = (host.disk / "driver.log").open("a")
        self._process = host.start(command, settings, subprocess.PIPE)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self, timeout_s: float) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired."""
        code = self._process.wait(timeout_s)
        self._reader.join()
        return code

    @property
    def labelling_s(self) -> float:
        """How long after its start it began to label. Raises StopIteration if it did not."""
        return next(at for at, line in self.lines if line == "labelling")

    @property
    def said(self) -> list[tuple[float, str]]:
        """Its lines, less the progress and the result."""
        return [(at, line) for at, line in self.lines if " images · " not in line and line[:1] not in "{"]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text = line.decode(errors="replace").rstrip()
            self.lines.append((time.monotonic() - self.started_s, text))
            print(f"{self.lines[-1][0]:6.1f} {text}", file=self._log, flush=True)
        self.ended_s = time.monotonic()


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for a condition, looking at it now and then. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come in {seconds:g} s")
        time.sleep(0.1)


def listens(address: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        with closing(socket.create_connection((address, port), timeout=1)):
            return True
    except OSError:
        return False
