"""A Ray to run on: a private local one, or a cluster by its address.

A local Ray listens on loopback only, keeps its object store within `object_store_bytes` (reports and shard
lists go through it, pixels never), opens no dashboard, does not need /dev/shm and writes no token into the
home folder. On a cluster the four packages travel with the job's runtime environment. RAY_AUTH_MODE,
RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH and RAY_ADDRESS are honoured. Labels nothing.
"""

import importlib
import json
import logging
import math
import os
import re
import secrets
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.head import LOOPBACK_ONLY
from fo1_data.errors import ClusterError, first_line
from fo1_data.home_folders import expand_home
from schemas.jobs import RunConfig

PACKAGES = ("schemas", "fo1_data", "actors", "services")
LOCAL = "local"
STARTS = 3
CONNECT_TIMEOUT_S = 6.0
CONNECT_TRIES = 3
_REFUSED_TOKEN = "InvalidAuthToken"
_HTTP2_SETTINGS = b"\x04"
_HTTP2_START = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + _HTTP2_SETTINGS + bytes(5)

# Of the driver of a job: Ray's own variable, with the job's settings.
_JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
# How labellers log and trace; not the headers of a collector, which hold its key: set those on the nodes.
_WATCHED = re.compile("FO1_LOG_(LEVEL|FORMAT)|OTEL_(?!.*HEADERS).*")


@dataclass(frozen=True)
class NodeRoom:
    """The total resources of a live node, used or not."""

    node_id: str
    address: str
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Need:
    """The resources that one labeller takes of a node."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        return f"{self.cpus:g} CPU and {self.gpus:g} GPU"

    def fits(self, node: NodeRoom) -> int:
        """How many labellers fit on the node if nothing else runs there."""
        ratios = [
            total / part for total, part in ((node.cpus, self.cpus), (node.gpus, self.gpus)) if part > 0
        ]
        return math.floor(min(ratios, default=1.0) + 1e-9)


def chosen_address(config: RunConfig) -> str:
    """The cluster's address: the setting, else RAY_ADDRESS (set inside a Ray job), else a local Ray."""
    return config.address or os.environ.get("RAY_ADDRESS") or LOCAL


@contextmanager
def ray_for(config: RunConfig) -> Iterator[None]:
    """Ray during a `with` block. A Ray that this process already uses is taken and left running.

    Raises ClusterError if no Ray can be started or reached.
    """
    address = chosen_address(config)
    if address == LOCAL and "ray" not in sys.modules:
        os.environ.update(LOOPBACK_ONLY)
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        if address == LOCAL:
            _start_local(config)
        else:
            _connect(address)
        yield
    finally:
        ray.shutdown()


def refuse_unreachable(address: str) -> None:
    """Raise ClusterError if no Ray listens at `HOST:PORT` (or `ray://HOST:PORT`). Other addresses pass.

    Ray itself tries for minutes. Its servers speak HTTP/2, where each side begins with a settings frame.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S) as peer:
            if os.environ.get("RAY_USE_TLS", "0") != "0":
                return
            peer.sendall(_HTTP2_START)
            first_frame = peer.recv(9)
    except (OSError, OverflowError, UnicodeError) as error:
        raise ClusterError(f"cannot reach the Ray cluster at {address}: {error} (is it running?)") from None
    if first_frame[3:4] != _HTTP2_SETTINGS:
        raise ClusterError(f"cannot reach the Ray cluster at {address}: another program listens there")


def nodes() -> list[NodeRoom]:
    """The live nodes of the cluster."""
    import ray

    return [
        NodeRoom(
            node_id=node["NodeID"],
            address=node["NodeManagerAddress"],
            cpus=node["Resources"].get("CPU", 0.0),
            gpus=node["Resources"].get("GPU", 0.0),
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]


def need_of(config: RunConfig, room: list[NodeRoom]) -> Need:
    """What a labeller takes: as set, else one GPU each if the cluster has GPUs."""
    gpus = config.gpus_per_actor
    if gpus is None:
        gpus = 1.0 if any(node.gpus >= 1 for node in room) else 0.0
    return Need(config.cpus_per_actor, gpus)


def _start_local(config: RunConfig) -> None:
    import ray

    _prepare_environment()
    least, _ = config.actor_range
    _private_token()
    for tries_left in reversed(range(STARTS)):
        try:
            ray.init(
                address=LOCAL,
                # The user decides how many labellers share the cores of this machine.
                num_cpus=max(os.cpu_count() or 1, math.ceil(least * config.cpus_per_actor)),
                object_store_memory=config.object_store_bytes,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
            return
        except Exception as error:  # Ray raises many kinds here
            ray.shutdown()
            # Ray waits 30 s for its own processes, which can be too short on a busy machine.
            if not tries_left or "timed out" not in str(error):
                raise ClusterError(f"cannot start a local Ray: {first_line(error)}") from error


def _connect(address: str) -> None:
    import ray

    refuse_unreachable(address)
    host = address.rpartition("://")[2].rpartition(":")[0]
    if LOOPBACK_ONLY.items() <= os.environ.items() and host not in ("127.0.0.1", "localhost"):
        raise ClusterError(f"this process has used a Ray of its own: connect to {address} in another process")
    environment = runtime_env()
    _prepare_environment()
    # Ray tries about once a second, 20 times by default, also with a token that was refused.
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", str(CONNECT_TRIES))
    try:
        ray.init(
            address=address,
            runtime_env=environment,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:
        if _REFUSED_TOKEN in "".join(traceback.format_exception(error)):
            raise ClusterError(
                f"the Ray cluster at {address} refuses the token: set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
            ) from error
        raise ClusterError(
            f"cannot reach the Ray cluster at {address}: {first_line(error)} "
            "(is it running, and is its token in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH?)"
        ) from error


def runtime_env() -> dict[str, Any]:
    """What the workers of a cluster get of this driver: the packages, and how they log and trace.

    Of a driver that is a job of Ray's, they get what the job gives too; Ray refuses what is given twice.
    Raises ClusterError if the job brings packages of its own.
    """
    folders = [str(Path(str(importlib.import_module(name).__file__)).parent) for name in PACKAGES]
    of_job = json.loads(os.environ.get(_JOB_CONFIG, "{}")).get("runtime_env") or {}
    if "py_modules" in of_job and os.environ.get("RAY_OVERRIDE_JOB_RUNTIME_ENV") != "1":
        raise ClusterError(
            "leave py_modules out of the runtime environment of this Ray job: the driver brings "
            "the packages of fo1-data so (your own may be in working_dir)"
        )
    asked = {
        name: value
        for name, value in os.environ.items()
        if _WATCHED.fullmatch(name) and name not in (of_job.get("env_vars") or {})
    }
    left_out = {} if "excludes" in of_job else {"excludes": ["**/__pycache__"]}
    return {"py_modules": folders, "env_vars": asked, **left_out}


def _prepare_environment() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")
    # A container's /dev/shm may hold only 64 MB: the store then lies in the session's folder.
    os.environ.setdefault("RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE", "1")


def _private_token() -> None:
    """Set a token for this run unless the user has one: Ray would write one into the home folder."""
    settings = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    if any(os.environ.get(name) for name in settings) or expand_home("~/.ray/auth_token").exists():
        return
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
