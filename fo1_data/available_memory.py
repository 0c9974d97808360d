"""How much memory this process may still take, in bytes: of the machine and of its control groups.

The page cache counts as available, because the system gives it up on demand.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class _Names:
    """The files of a control group: its limit, its use, and the page cache in its statistics."""

    limit: str
    use: str
    cache: str


_VERSION_1 = _Names("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = _Names("memory.max", "memory.current", "inactive_file")


def available_memory_bytes(root: Path = Path("/")) -> int | None:
    """The least of what the machine and each control group of this process has left; None if none says so.

    root: the folder with `proc` and `sys`.
    """
    figures = [*_of_machine(root / "proc/meminfo"), *_of_groups(root)]
    return max(min(figures), 0) if figures else None


def _of_machine(path: Path) -> Iterator[int]:
    for line in _lines(path):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _of_groups(root: Path) -> Iterator[int]:
    """What is left in the process' group and in every group above it, under both versions of cgroups."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            top, names = root / "sys/fs/cgroup", _VERSION_2
        elif "memory" in controllers.split(","):
            top, names = root / "sys/fs/cgroup/memory", _VERSION_1
        else:
            continue
        # In a container the path may be the host's, of which only the top is visible.
        folder = top / group.strip().lstrip("/")
        for place in (folder, *folder.parents):
            yield from _left_in(place, names)
            if place == top:
                break


def _left_in(folder: Path, names: _Names) -> Iterator[int]:
    limit, use = _number(folder / names.limit), _number(folder / names.use)
    if limit is not None and use is not None:
        cache = [line.split()[1] for line in _lines(folder / "memory.stat") if line.split()[0] == names.cache]
        yield limit - use + sum(map(int, cache))


def _number(path: Path) -> int | None:
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
