"""What a process of ours on a cluster may use: the GPUs that it reserved, and on one machine only loopback.

Call these in the constructor of an actor, before it loads a model.
"""

import os
from typing import Any, NamedTuple

import grpc  # type: ignore[import-untyped]
import ray
from ray.util import get_node_ip_address

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_EVERYWHERE = "[::]:"


class Place(NamedTuple):
    """The node that a process runs on, and its address."""

    node_id: str
    address: str


def this_place() -> Place:
    """Where this process runs."""
    address = get_node_ip_address()  # type: ignore[no-untyped-call]
    return Place(ray.get_runtime_context().get_node_id(), address)


def hide_unreserved_gpus() -> None:
    """Hide every GPU from a process that has reserved none, so that its model runs on the CPU.

    Ray leaves the variable as it is where no GPU is reserved: the process would take the first GPU, beside
    the labeller that reserved it.
    """
    if ray.is_initialized() and not ray.get_runtime_context().get_accelerator_ids().get("GPU"):
        os.environ[_VISIBLE] = ""


def listen_on_loopback() -> None:
    """On a Ray that listens on loopback only, let gRPC servers made from now on do the same.

    A replica of Ray Serve starts one on every interface, whatever the address of its node is.
    """
    host = get_node_ip_address()  # type: ignore[no-untyped-call]
    if host != "127.0.0.1":
        return
    for kind in grpc.aio.Server.__subclasses__():
        _bind_to(kind, host)


def _bind_to(kind: Any, host: str) -> None:
    add_port = kind.add_insecure_port

    def add_host_port(server: Any, address: str) -> int:
        port = address.removeprefix(_EVERYWHERE)
        return int(add_port(server, address if port == address else f"{host}:{port}"))

    kind.add_insecure_port = add_host_port
