"""Whether a store fails for all hosts of a cluster, or for some alone, whose work others can do."""

from collections.abc import Set


class StoreFaults:
    """Which hosts found a store out of reach, and did not reach it since."""

    def __init__(self) -> None:
        self._hosts: set[str] = set()

    def reached(self, host: str) -> None:
        """A host read from and wrote to the stores."""
        self._hosts.discard(host)

    def is_of_some_hosts(self, host: str, others: Set[str]) -> bool:
        """Count a fault; True if `others` (addresses of hosts) has one without a fault."""
        self._hosts.add(host)
        return bool(others - self._hosts)
