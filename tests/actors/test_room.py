"""What is told of an autoscaling cluster that does not grow, by the state that Ray's own code makes."""

import json
import time
from dataclasses import asdict

import pytest
from ray.autoscaler._private.autoscaler import AutoscalerSummary
from ray.autoscaler._private.node_provider_availability_tracker import NodeProviderAvailabilityTracker
from ray.autoscaler.node_launch_exception import NodeLaunchException

from actors.room import growth_text


def status_of(tracker: NodeProviderAvailabilityTracker, *pending: tuple[str, str, str]) -> bytes:
    summary = AutoscalerSummary(
        active_nodes={},
        idle_nodes={},
        pending_nodes=list(pending),
        pending_launches={"cpu_worker": 2} if pending else {},
        failed_nodes=[],
        node_availability_summary=tracker.summary(),
    )
    return json.dumps({"autoscaler_report": asdict(summary)}).encode()


def test_a_cloud_without_machines_is_named_with_its_reason() -> None:
    tracker = NodeProviderAvailabilityTracker()
    refusal = NodeLaunchException("InsufficientInstanceCapacity", "no spot capacity in this zone", None)
    tracker.update_node_availability("gpu_worker", int(time.time()), refusal)
    tracker.update_node_availability("cpu_worker", int(time.time()), None)
    assert growth_text(status_of(tracker)) == (
        "; its autoscaler says: no gpu_worker to be had: InsufficientInstanceCapacity, "
        "no spot capacity in this zone"
    )


def test_nodes_that_start_are_counted() -> None:
    status = status_of(NodeProviderAvailabilityTracker(), ("10.0.0.1", "gpu_worker", "setting-up"))
    assert growth_text(status) == (
        "; its autoscaler says: 1 gpu_worker still starts (placement_timeout_s), "
        "2 cpu_worker still starts (placement_timeout_s)"
    )


def test_a_cluster_whose_size_is_fixed_says_nothing() -> None:
    assert growth_text(None) == ""
    assert growth_text(b'{"load_metrics_report": {}}') == ""


@pytest.mark.parametrize(
    "report",
    [3, [1], {"pending_nodes": [["a"]]}, {"node_availability_summary": {"node_availabilities": {"gpu": {}}}}],
)
def test_a_state_of_another_form_says_nothing(report: object) -> None:
    """A cluster without room is told of in any case, and not by a traceback."""
    assert growth_text(json.dumps({"autoscaler_report": report}).encode()) == ""
    assert growth_text(b"no json") == ""
