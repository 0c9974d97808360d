"""The measured limits of a device, and the clock by which work on it is timed."""

import time
from collections.abc import Callable

import torch

_SIZE = {"cpu": 1024, "cuda": 8192}
_COPY_BYTES = 1 << 28
_REPEATS = {"cpu": 3, "cuda": 20}


def work_clock_s(device: torch.device) -> float:
    """On a GPU the time after all its work has ended; on a CPU the processor seconds of all threads.

    Processor seconds hardly change with other work on the machine.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def measure_limits(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """The rate of a large matrix product (operations/s) and of a copy (bytes read and written/s).

    Seconds are those of `work_clock_s`: on a CPU the rates are those of one core.
    """
    size = _SIZE[device.type]
    # Not zeros: products of zeros are faster than any real ones.
    a = torch.rand(size, size, device=device).to(dtype)
    b = torch.rand(size, size, device=device).to(dtype)
    source = torch.zeros(_COPY_BYTES, device=device, dtype=torch.uint8)
    copy = torch.zeros_like(source)
    product_s = _seconds(lambda: torch.mm(a, b), device)
    copy_s = _seconds(lambda: copy.copy_(source), device)
    return {"operations_per_s": 2 * size**3 / product_s, "bytes_per_s": 2 * _COPY_BYTES / copy_s}


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """The mean seconds of a call, after one call to warm up."""
    work()
    repeats = _REPEATS[device.type]
    started_s = work_clock_s(device)
    for _ in range(repeats):
        work()
    return (work_clock_s(device) - started_s) / repeats
