"""Which process works on a review: one at a time, and the next at once where it died on the same machine."""

import os
import secrets
import socket

LEASE_S = 90.0


class Holder:
    """A name for this process that no other has, not even a later one with the same process id."""

    def __init__(self) -> None:
        self.name = f"{socket.gethostname()[:100]}:{os.getpid()}:{secrets.token_hex(6)}"

    def is_dead(self, other: str | None) -> bool:
        """Whether the holder `other` is known to be gone; of other machines nothing is known."""
        if other is None or other == self.name:
            return True
        host, _, rest = other.rpartition(":")[0].rpartition(":")
        if host != self.name.rpartition(":")[0].rpartition(":")[0] or not rest.isdecimal():
            return False
        return int(rest) != os.getpid() and not _is_alive(int(rest))


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
