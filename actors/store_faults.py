"""Whether a store fails for all hosts of a cluster, or for one alone, whose work another host can do."""

from collections.abc import Set


class StoreFaults:
    """Which hosts found the store out of reach, and did not reach it since."""

    def __init__(self) -> None:
        self._hosts: set[str] = set()

    def reached(self, host: str) -> None:
        """A host wrote to the store."""
        self._hosts.discard(host)

    def is_of_one_host(self, host: str, others: Set[str]) -> bool:
        """Count a fault; True if no other host had one, and `others` (addresses of hosts) has another."""
        self._hosts.add(host)
        return self._hosts == {host} and bool(others - {host})
