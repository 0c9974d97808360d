"""What is said of a cluster that has no room for the labellers, with what its autoscaler tells of it.

Ray's autoscaler keeps a JSON of its state in Ray's key-value store, from which `ray status` is made. Its
second version, which KubeRay can start, keeps none there: nothing is said of it.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ray.experimental.internal_kv import _internal_kv_get

from actors.cluster import Need, nodes

_STATUS_KEY = "__autoscaling_status"


def no_room_text(need: Need, least: int, room: int) -> str:
    """One line. least: the labellers requested; room: how many of them the cluster can hold."""
    sizes = ", ".join(f"{node.address}: {node.cpus:g} CPU, {node.gpus:g} GPU" for node in nodes())
    return (
        f"the cluster can hold {room} of the {least} labellers requested, each with {need} ({sizes})"
        f"{growth_text(_internal_kv_get(_STATUS_KEY))}: "
        "lower --actors, --cpus-per-actor or --gpus-per-actor"
    )


def growth_text(status: bytes | None) -> str:
    """What keeps an autoscaling cluster from growing, by its state; empty if that tells nothing."""
    try:
        said = list(_reasons(json.loads(status or b"{}").get("autoscaler_report") or {}))
    except (AttributeError, KeyError, TypeError, ValueError):
        return ""  # of another Ray: the form is its own affair
    return f"; its autoscaler says: {', '.join(said)}" if said else ""


def _reasons(report: dict[str, Any]) -> Iterator[str]:
    starting = Counter(kind for _, kind, _ in report.get("pending_nodes", []))
    starting.update(report.get("pending_launches", {}))
    for kind, count in starting.items():
        yield f"{count} {kind} still starts (placement_timeout_s)"
    records = report.get("node_availability_summary", {}).get("node_availabilities", {})
    for kind, record in records.items():
        if (why := record["unavailable_node_information"]) is not None:
            yield f"no {kind} to be had: {why['category']}, {why['description']}"
