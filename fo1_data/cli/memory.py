"""The end of a command whose memory ran out, even in a thread that had none to begin."""

import atexit
import os
import re
import resource
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from fo1_data.errors import lacks_memory

OUT_OF_MEMORY = b"fo1: out of memory: free some, or give the command more, then run it again\n"
_BEGINNING = "_bootstrap"  # of a `threading.Thread`
# What CPython says of a call in C that failed without a word, as some do that get no memory.
_SILENT_FAULTS = ("returned NULL without setting an exception", "error return without exception set")
_UNMAPPED = "failed to map segment from shared object"
_NEAR_BYTES = 2**26
_PEAK = re.compile(r"^VmPeak:\s*(\d+) kB$", re.MULTILINE)


def came_of_memory(error: Exception) -> bool:
    """Whether a command ended because memory ran out.

    A SystemError without a word is taken for that only in a process that has come near its limit, and a
    library that cannot be mapped only in one that has a limit.
    """
    if isinstance(error, ImportError):
        return _UNMAPPED in str(error) and _limit_bytes() is not None
    if isinstance(error, SystemError):
        return any(text in str(error) for text in _SILENT_FAULTS) and _has_met_its_limit()
    return lacks_memory(error)


def _limit_bytes() -> int | None:
    """The limit of the address space of this process; None if there is none."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


def _has_met_its_limit() -> bool:
    """Whether the address space of this process is limited and was within 64 MiB of that, at its largest."""
    limit = _limit_bytes()
    if limit is None:
        return False
    try:
        peak = _PEAK.search(Path("/proc/self/status").read_text())
    except MemoryError:
        return True
    except OSError:  # no Linux
        return False
    return peak is not None and int(peak[1]) * 1024 > limit - _NEAR_BYTES


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
