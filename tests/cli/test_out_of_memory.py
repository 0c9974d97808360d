"""A command whose memory runs out ends in one line, even where a thread gets none to begin."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from factories import make_dataset

from fo1_data.cli.memory import OUT_OF_MEMORY

WITHIN_S = 60
# Bytes of address space left to a process that starts threads until one fails. Some of these limits leave the
# last thread its stack and no more.
LEFT = range(21_000_000, 29_000_000, 400_000)
START_UNTIL_IT_FAILS = """
import os, resource, sys, threading
from fo1_data.cli.memory import end_when_threads_lack_memory
end_when_threads_lack_memory()
threading.stack_size(256 * 1024)
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[1]),) * 2)
ends, threads = threading.Event(), []
try:
    while True:
        threads.append(threading.Thread(target=ends.wait, daemon=True))
        threads[-1].start()
except (MemoryError, RuntimeError):
    os._exit(0)
"""


class Ended(NamedTuple):
    code: int
    message: str


def run(program: str, *arguments: object) -> Ended:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S)
    return Ended(done.returncode, done.stderr)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space of a process")
def test_no_limit_of_memory_leaves_a_command_waiting_for_a_thread() -> None:
    ended = [run(START_UNTIL_IT_FAILS, left) for left in LEFT]
    assert {end.code for end in ended} <= {0, 1}
    assert all(end.message.endswith(OUT_OF_MEMORY.decode()) for end in ended if end.code == 1)


@pytest.mark.parametrize("step", ["_bootstrap_inner", "_set_tstate_lock"])
def test_a_thread_without_memory_is_told_in_one_line(step: str) -> None:
    program = f"""
import threading
from fo1_data.cli.memory import end_when_threads_lack_memory
end_when_threads_lack_memory()
def fails(thread): raise MemoryError
threading.Thread.{step} = fails
threading.Thread(target=print).start()
"""
    assert run(program) == (1, OUT_OF_MEMORY.decode())


def test_a_thread_without_memory_ends_a_command_that_nobody_reads() -> None:
    program = """
import os, threading
from fo1_data.cli.memory import end_when_threads_lack_memory
end_when_threads_lack_memory()
def fails(thread): raise MemoryError
threading.Thread._bootstrap_inner = fails
os.close(2)
threading.Thread(target=print).start()
"""
    assert run(program) == (1, "")


SILENT = SystemError("<built-in function loads> returned NULL without setting an exception")
UNMAPPED = ImportError("libtiff.so.6: failed to map segment from shared object")
# Runs a command in which a call in C fails without a word, in a process with so much address space left that
# takes so much of it before.
FAILS_SILENTLY = """
import json, resource, sys
from fo1_data.cli.main import main
left, taken = map(int, sys.argv[1:3])
fault = eval(sys.argv[4])
def fails(*_):
    raise fault
json.loads = fails
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
if left:
    resource.setrlimit(resource.RLIMIT_AS, (held + left,) * 2)
bytes(taken)
sys.argv = ["fo1", "dataset", "info", sys.argv[3]]
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space of a process")
@pytest.mark.parametrize(
    ("fault", "left", "is_memory"),
    [
        (SILENT, 500_000_000, True),
        (SILENT, 4_000_000_000, False),
        (SILENT, 0, False),
        (SystemError("bad call"), 500_000_000, False),
        (UNMAPPED, 4_000_000_000, True),
        (UNMAPPED, 0, False),
        (ImportError("No module named 'x'"), 500_000_000, False),
    ],
    ids=["near its limit", "far from it", "no limit", "loud", "unmapped", "unmapped, no limit", "not there"],
)
def test_a_fault_without_a_word_is_told_as_want_of_memory_only_where_it_is_limited(
    fault: Exception, left: int, is_memory: bool, tmp_path: Path
) -> None:
    make_dataset(tmp_path / "d")
    ended = run(FAILS_SILENTLY, left, 480_000_000, tmp_path / "d", repr(fault))
    assert ended.code == 1
    assert (ended.message == OUT_OF_MEMORY.decode()) == is_memory
    assert (f"{type(fault).__name__}: {fault}" in ended.message) != is_memory


def test_other_faults_that_no_handler_takes_are_told_as_ever() -> None:
    program = """
from fo1_data.cli.memory import end_when_threads_lack_memory
end_when_threads_lack_memory()
class Fails:
    def __del__(self): raise ValueError("of a __del__")
Fails()
"""
    ended = run(program)
    assert ended.code == 0
    assert "ValueError: of a __del__" in ended.message


def test_what_such_a_fault_held_is_not_held_any_longer() -> None:
    program = f"""
import time, weakref
from fo1_data.cli.memory import end_when_threads_lack_memory
end_when_threads_lack_memory()
class Large: pass
class Fails:
    def __del__(self):
        self.large = Large()
        held.append(weakref.ref(self.large))
        raise ValueError
held = []
Fails()
ends_s = time.monotonic() + {WITHIN_S / 2}
while held[0]() is not None:
    assert time.monotonic() < ends_s
    time.sleep(0.01)
"""
    assert run(program).code == 0


def test_where_memory_is_out_nothing_is_needed_to_say_so() -> None:
    """What prints messages otherwise asks for memory: Rich imports a module at its first line."""
    program = """
from fo1_data.cli import main, output
def fails(*arguments, **options): raise MemoryError
main.app = output.console.print = fails
main.main()
"""
    assert run(program) == (1, OUT_OF_MEMORY.decode())
