"""The most memory that a process needed, or may have."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def peak_bytes(begin: bool = False) -> int:
    """The most memory that the process had since `begin`; with it, what it has now."""
    if begin:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    name = "VmRSS" if begin else "VmHWM"
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


@contextmanager
def limited_memory(more_bytes: int) -> Iterator[None]:
    """Let the process take no more than this beside what it has: an allocation beyond it fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
