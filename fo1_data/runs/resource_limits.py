"""Bounds on the threads and the memory that a process computes with."""

import ctypes
import os
import sys

_M_ARENA_MAX = -8  # of glibc's malloc.h


def limit_resources(cpus: float) -> None:
    """Bound the threads and the memory of computing in this process. Call it before torch is imported.

    Threads: as many as there are CPUs for this process; more would slow each other down. OMP_NUM_THREADS
    takes precedence if it is set (Ray sets it to an actor's CPUs). Memory: oneDNN keeps 64 convolutions
    instead of 1,024 (every size of an image needs some of its own), large tensors lie on huge pages, apart
    from small objects, which would keep the memory between them from being used again, and the threads that
    read share two of glibc's heaps.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, round(cpus))))
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if "MALLOC_ARENA_MAX" not in os.environ and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 2)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
