"""Names the process that works on a review. A dead holder on the same machine is replaced at once."""

import os
import secrets
import socket

LEASE_S = 90.0


class Holder:
    """A unique name for this process; a later process with the same process id gets another one."""

    def __init__(self, process_id: int | None = None) -> None:
        self._process_id = os.getpid() if process_id is None else process_id
        self._host = socket.gethostname()[:100]
        self.name = f"{self._host}:{self._process_id}:{secrets.token_hex(6)}"

    def is_dead(self, other: str | None) -> bool:
        """Return whether the holder `other` is known to have ended. Always False for other machines."""
        if other is None or other == self.name:
            return True
        host, _, process_id = other.rpartition(":")[0].rpartition(":")
        if host != self._host or not process_id.isdecimal():
            return False
        # Another holder with our own process id is an earlier process.
        return int(process_id) == self._process_id or not _is_alive(int(process_id))


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
