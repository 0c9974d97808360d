"""Whether a store is away, so that a file that does not arrive says nothing about the file.

A store is away if it has answered this process before, and answers nothing now: its network is cut, or it is
down. One that never answered may not exist, and one that answers others has trouble with this file alone.
Times are seconds of the monotonic clock. Any thread may call.
"""

import logging
import threading
import time

_log = logging.getLogger("fo1.storage")


class Outages:
    """When stores answered last. patience_s: how long one that is away is waited for; 0: not at all."""

    def __init__(self, patience_s: float = 0.0) -> None:
        self.patience_s = patience_s
        self._answered_s: dict[str, float] = {}
        self._silent_since_s: dict[str, float] = {}
        self._lock = threading.Lock()

    def answered(self, store: str) -> None:
        """A store gave data, or the size of a file."""
        with self._lock:
            self._answered_s[store] = time.monotonic()
            self._silent_since_s.pop(store, None)

    def has_answered(self, store: str, since_s: float) -> bool:
        """Whether a store has answered anything since then."""
        with self._lock:
            return self._answered_s.get(store, float("-inf")) >= since_s

    def is_silent(self, store: str, since_s: float) -> bool:
        """Whether a store has answered before, and nothing since then. False if none is waited for."""
        with self._lock:
            return self._is_silent(store, since_s)

    def is_worth_waiting(self, store: str, tried_s: float) -> bool:
        """True if a store is silent since a try of `tried_s`, and was not waited for too long.

        Its silence begins with the first try of this kind, and ends with an answer.
        """
        with self._lock:
            if not self._is_silent(store, tried_s):
                return False
            if store not in self._silent_since_s:
                self._silent_since_s[store] = tried_s
                _log.warning("%s does not answer: waiting up to %g s", store, self.patience_s)
            return time.monotonic() - self._silent_since_s[store] < self.patience_s

    def _is_silent(self, store: str, since_s: float) -> bool:
        answered_s = self._answered_s.get(store)
        return bool(self.patience_s) and answered_s is not None and answered_s < since_s
