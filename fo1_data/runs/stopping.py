"""Stopping a run from outside: SIGTERM ends it as Ctrl-C does, cleanly and resumable."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived."""


def exit_code(stop: KeyboardInterrupt) -> int:
    """The exit code of a command that a signal stopped, as shells give it."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


@contextmanager
def stopping_on_sigterm() -> Iterator[None]:
    """Raise Terminated on SIGTERM inside the block. Outside the main thread, Python allows no handler.

    Ray turns what a handler raises while Ray waits into a plain KeyboardInterrupt, and its own handler, which
    it sets when it starts, exits with the number of the signal: both leave as Terminated.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    is_terminated = False

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal is_terminated
        is_terminated = True
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if is_terminated and not isinstance(interrupt, Terminated):
            raise Terminated from interrupt
        raise
    except SystemExit as ended:
        if ended.code == signal.SIGTERM:
            raise Terminated from ended
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
