"""Stopping a run from outside: SIGTERM ends it as Ctrl-C does, cleanly and resumable."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived."""


@contextmanager
def stopping_on_sigterm() -> Iterator[None]:
    """Raise Terminated on SIGTERM inside the block. Outside the main thread, Python allows no handler."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
