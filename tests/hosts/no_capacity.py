"""A provider of fake nodes that has none, as a cloud without spot machines."""

from typing import Any

from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider
from ray.autoscaler.node_launch_exception import NodeLaunchException


class NoCapacity(FakeMultiNodeProvider):
    """Refuses every node."""

    def create_node_with_resources_and_labels(self, *_: Any) -> None:
        raise NodeLaunchException("InsufficientInstanceCapacity", "no spot capacity in this zone", None)
