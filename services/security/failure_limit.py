"""Limits how many wrong keys an address may try within a minute. Kept in this process' memory.

Failures do not slow down valid keys. Times are seconds of the monotonic clock.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable

WINDOW_S = 60.0
_MAX_ADDRESSES = 10_000


class FailureLimit:
    """Counts failures per address; at most `limit` are allowed within a minute."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def record(self, address: str) -> float | None:
        """Count a failure; return the seconds to wait if there were too many, else None."""
        moment = self._clock()
        times = self._failures.setdefault(address, deque())
        self._failures.move_to_end(address)
        while len(self._failures) > _MAX_ADDRESSES:
            self._failures.popitem(last=False)
        while times and times[0] <= moment - WINDOW_S:
            times.popleft()
        if len(times) >= self._limit:
            return times[0] + WINDOW_S - moment
        times.append(moment)
        return None
