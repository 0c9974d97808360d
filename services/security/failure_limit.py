"""A limit on wrong keys an address may try within a minute. Kept in this process' memory.

A valid key is not held up by others' failures. Times are seconds of the monotonic clock.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable

WINDOW_S = 60.0
_ADDRESSES_HELD = 10_000


class FailureLimit:
    """Counts failures an address; at most `most` are let through within a minute."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def failed(self, address: str) -> float | None:
        """Count a failure; how many seconds to wait where there were too many, else None."""
        moment = self._clock()
        times = self._failures.setdefault(address, deque())
        self._failures.move_to_end(address)
        while len(self._failures) > _ADDRESSES_HELD:
            self._failures.popitem(last=False)
        while times and times[0] <= moment - WINDOW_S:
            times.popleft()
        if len(times) >= self._most:
            return times[0] + WINDOW_S - moment
        times.append(moment)
        return None
