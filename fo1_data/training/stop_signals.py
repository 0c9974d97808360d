"""Stopping a training between two steps: after SIGINT or SIGTERM the run saves, and can be resumed."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM)
# What stands for a request that is no signal.
_OTHER = 1_000


@contextmanager
def stop_signals(tell: Callable[[str], None] = lambda name: None) -> Iterator[Callable[[], str | None]]:
    """Inside the block, a first SIGINT or SIGTERM is only remembered: the function yielded returns its name.

    `tell`: called with the name at once. A second one raises KeyboardInterrupt. Outside the main thread
    Python allows no handlers: nothing is caught there.
    """
    received: list[str] = []

    def remember(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(signal.Signals(number).name)
        tell(received[0])

    def first() -> str | None:
        return received[0] if received else None

    if threading.current_thread() is not threading.main_thread():
        yield first
        return
    before = {number: signal.signal(number, remember) for number in _STOPPING}
    try:
        yield first
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_number(name: str | None) -> int:
    """The name of a request to stop as a number, for other workers; 0: none."""
    return 0 if name is None else int(signal.Signals.__members__.get(name, _OTHER))


def stop_name(number: int) -> str:
    """The name of a request to stop that another worker got."""
    return "another worker" if number == _OTHER else signal.Signals(number).name


def asking(stopped_by: Callable[[], str | None], stopped: list[str]) -> Callable[[], bool]:
    """A function that says whether to stop, for work that asks often; what stopped it goes into the list."""

    def must_stop() -> bool:
        reason = stopped_by()
        stopped.extend([reason] if reason is not None else [])
        return bool(stopped)

    return must_stop
