"""The memory that a process may still take, from made-up `proc` and `sys` folders and from this machine."""

from pathlib import Path

import pytest

from fo1_data.available_memory import available_memory_bytes

_KIB, _GIB = 2**10, 2**30


def _write(root: Path, files: dict[str, object]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


def test_page_cache_counts_as_available(tmp_path: Path) -> None:
    """What the machine has free besides is far less on every machine that has read a corpus."""
    lines = "MemTotal: 25165824 kB\nMemFree: 237568 kB\nMemAvailable: 6710886 kB\nCached: 6291456 kB"
    _write(tmp_path, {"proc/meminfo": lines})
    assert available_memory_bytes(tmp_path) == 6710886 * _KIB


@pytest.mark.parametrize("limited", ["job", "job/worker"])
def test_the_tightest_group_decides(tmp_path: Path, limited: str) -> None:
    """A limit binds whether it is set on the process' own group or on one above it, less the page cache."""
    top = "sys/fs/cgroup"
    _write(
        tmp_path,
        {
            "proc/meminfo": f"MemAvailable: {16 * _GIB // _KIB} kB",
            "proc/self/cgroup": "0::/job/worker",
            f"{top}/job/memory.max": "max",
            f"{top}/job/worker/memory.max": "max",
            f"{top}/{limited}/memory.max": 4 * _GIB,
            f"{top}/{limited}/memory.current": 3 * _GIB,
            f"{top}/{limited}/memory.stat": f"active_file 5\ninactive_file {_GIB}\nanon 7",
        },
    )
    assert available_memory_bytes(tmp_path) == 2 * _GIB


def test_version_1_with_the_hosts_path(tmp_path: Path) -> None:
    """In a container, the path of the group is the host's and only the top of the tree is there."""
    top = "sys/fs/cgroup/memory"
    _write(
        tmp_path,
        {
            "proc/meminfo": f"MemAvailable: {16 * _GIB // _KIB} kB",
            "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/docker/0123",
            f"{top}/memory.limit_in_bytes": 2 * _GIB,
            f"{top}/memory.usage_in_bytes": _GIB,
            f"{top}/memory.stat": "total_inactive_file 1024\ninactive_file 5",
        },
    )
    assert available_memory_bytes(tmp_path) == _GIB + 1024


def test_systems_that_do_not_say(tmp_path: Path) -> None:
    assert available_memory_bytes(tmp_path) is None


def test_this_machine() -> None:
    """Where `proc` is there, the figure lies between nothing and all of the memory."""
    if not Path("/proc/meminfo").exists():
        pytest.skip("no /proc")
    total = int(Path("/proc/meminfo").read_text().split()[1]) * _KIB
    available = available_memory_bytes()
    assert available is not None
    assert 0 < available <= total
