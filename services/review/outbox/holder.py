"""Which process works on a review: one at a time, and the next at once where it died on the same machine."""

import os
import secrets
import socket

LEASE_S = 90.0


class Holder:
    """A name for this process that no other has, not even a later one with the same process id."""

    def __init__(self, process_id: int | None = None) -> None:
        self._process_id = os.getpid() if process_id is None else process_id
        self._host = socket.gethostname()[:100]
        self.name = f"{self._host}:{self._process_id}:{secrets.token_hex(6)}"

    def is_dead(self, other: str | None) -> bool:
        """Whether the holder `other` is known to be gone; of other machines nothing is known."""
        if other is None or other == self.name:
            return True
        host, _, process_id = other.rpartition(":")[0].rpartition(":")
        if host != self._host or not process_id.isdecimal():
            return False
        # Another with our own process id is a process that had it before us.
        return int(process_id) == self._process_id or not _is_alive(int(process_id))


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
