"""Faults in what a run uses: processes, files, a disk, a clock, memory. Each says what it hit, or nothing.

A fault that ends by itself (a stopped process, a full disk) is over when its call returns.
"""

import os
import random
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
SLEEPING = Path(__file__).parent / "faked_clock"
SMALL_DISK_KIB = 1024


def kill(process: psutil.Process) -> bool:
    """End a process without a word. False if it was gone."""
    with suppress(psutil.Error):
        process.kill()
        return True
    return False


def hold(process: psutil.Process, seconds: float) -> bool:
    """Stop a process for a time. False if it was gone."""
    with suppress(psutil.Error):
        process.suspend()
        time.sleep(seconds)
        process.resume()
        return True
    return False


def starve(process: psutil.Process, seconds: float) -> bool:
    """Let a process get no more memory for a time. False if it was gone."""
    with suppress(psutil.Error, ProcessLookupError):
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(process.pid, resource.RLIMIT_AS, (process.memory_info().vms, unlimited[1]))
        time.sleep(seconds)
        resource.prlimit(process.pid, resource.RLIMIT_AS, unlimited)
        return True
    return False


def damage(path: Path, chance: random.Random) -> bool:
    """Cut a file off or change some bytes of it. False if it is empty or gone."""
    with suppress(FileNotFoundError), path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if not size:
            return False
        if chance.random() < 0.4:
            file.truncate(chance.randrange(size))
            return True
        start = chance.randrange(size)
        file.seek(start)
        old = file.read(8)
        file.seek(start)
        file.write(bytes(byte ^ 0x55 for byte in old))
        return True
    return False


@contextmanager
def small_disk(folder: Path, kib: int = SMALL_DISK_KIB) -> Iterator[Path | None]:
    """A small file system at `folder`, by default of a megabyte; None where this process may not make one."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(disk: Path, seconds: float) -> bool:
    """Take all room of a disk for a time."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 4096):
            with suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    time.sleep(seconds)
    ballast.unlink(missing_ok=True)
    return True


class Clock:
    """A clock that jumps: `environment` is that of a process which goes by it (libfaketime)."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.jump(0)
        self.environment = (
            {
                "LD_PRELOAD": str(FAKETIME[0]),
                "FAKETIME_TIMESTAMP_FILE": str(file),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # with it, waits of threads end at once, again and again
                "PYTHONPATH": os.pathsep.join([str(SLEEPING), os.environ.get("PYTHONPATH", "")]),
            }
            if FAKETIME
            else {}
        )

    def jump(self, seconds: float) -> bool:
        """Set the clock this far from the true time. False where no clock can be set."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+.0f}s\n")
        fresh.replace(self._file)
        return bool(FAKETIME)
