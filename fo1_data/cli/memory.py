"""The end of a command whose memory ran out, even in a thread that had none to begin."""

import atexit
import os
import sys
import threading
from queue import SimpleQueue
from typing import Any

OUT_OF_MEMORY = b"fo1: out of memory: free some, or give the command more, then run it again\n"
_BEGINNING = "_bootstrap"  # of a `threading.Thread`


def tell_out_of_memory() -> None:
    """Print one line on standard error, with no memory."""
    os.write(2, OUT_OF_MEMORY)


def end_when_threads_lack_memory() -> None:
    """End the process with exit code 1 if a thread cannot begin for want of memory.

    `Thread.start` waits for the new thread to say that it runs. One that gets its stack, but no memory for
    its first call, never says so: its error goes to `sys.unraisablehook`, and the starter waits for good.
    There is no memory for a call in Python then, so the hook is a method in C, and a thread that has begun
    before does the rest.
    """
    unraisable: SimpleQueue[Any] = SimpleQueue()
    watch = threading.Thread(target=_watch, args=(unraisable,), name="memory", daemon=True)
    watch.start()
    sys.unraisablehook = unraisable.put

    def stop() -> None:
        sys.unraisablehook = sys.__unraisablehook__
        unraisable.put(None)
        watch.join()

    atexit.register(stop)


def _watch(unraisable: "SimpleQueue[Any]") -> None:
    while (fault := unraisable.get()) is not None:
        # The error with which a thread did not begin can be one that came of the MemoryError.
        not_begun = getattr(fault.object, "__name__", "") == _BEGINNING
        if not_begun or issubclass(fault.exc_type, MemoryError):
            try:
                tell_out_of_memory()
            finally:  # standard error may be closed
                os._exit(1)
        sys.__unraisablehook__(fault)
        del fault  # with the frames of its error, and what they hold
