"""Runs work in forked processes, whose time and memory can be measured and which can be killed.

A fork starts with its parent's memory, so everything that needs much memory runs in a fork of its own.
"""

import asyncio
import resource
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any

Work = Callable[..., Coroutine[Any, Any, None]]


def fork(work: Work, *arguments: Any) -> BaseProcess:
    """Start the work in a process of its own, which can be killed."""
    process = get_context("fork").Process(target=_measured, args=(work, *arguments))
    process.start()
    return process


def in_process(work: Work, *arguments: Any) -> dict[str, float]:
    """Run the work in a process of its own; return its `seconds` and peak resident memory (`peak_mib`)."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        return pool.submit(_measured, work, *arguments).result()


def _measured(work: Work, *arguments: Any) -> dict[str, float]:
    begin = time.perf_counter()
    asyncio.run(work(*arguments))
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": time.perf_counter() - begin, "peak_mib": peak_mib}
