"""Some inputs of a target in a process of their own: one that ends it or takes too long costs only itself."""

import faulthandler
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fuzz_record import Progress
from fuzz_target import Broken, Target

# Of the processor, for one input; and where other software goes on beyond it, until the process is ended.
LIMIT_S, LAST_S = 20, 60
ROOT = Path(__file__).resolve().parents[2]
ENDED = "(other software ended the process)"


class TooSlow(BaseException):
    """An input took more than `LIMIT_S` seconds."""


def run_round(target: Target, seed: int, num: int, progress: Progress, work: Path) -> None:
    """Run the next `num` inputs and add what became of them to the progress."""
    end = progress.num + num
    while progress.num < end:
        log = work / "log"
        log.write_text("")
        process = os.fork()
        if process == 0:
            _in_child(target, seed, range(progress.num, end), log, work / "inputs")
        _, status = os.waitpid(process, 0)
        with log.open() as lines:
            started = _add_lines(lines, progress)
        shutil.rmtree(work / "inputs", ignore_errors=True)
        if progress.num < end:
            _add_end(target, status, started, progress)


def _in_child(target: Target, seed: int, numbers: range, log: Path, folder: Path) -> None:
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        faulthandler.disable()
        folder.mkdir()
        with log.open("a", buffering=1) as file:
            run_inputs(target, seed, numbers, file, folder)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def run_inputs(target: Target, seed: int, numbers: range, log: IO[str], folder: Path) -> None:
    """Run these inputs; write a line before and after each."""
    with target.begin(folder) as run:
        for number in numbers:
            began_s = time.process_time()
            log.write(f"{number}\n")
            chance = random.Random(f"{seed}/{target.name}/{number}")
            outcome: list[str]
            try:
                with _limited():
                    outcome = [run(chance)]
            except (Exception, TooSlow) as error:
                outcome = [what_of(error), f"{type(error).__name__}: {error}"]
            seconds = time.process_time() - began_s
            log.write(json.dumps([round(seconds, 6), *outcome]) + "\n")


@contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooSlow(f"took more than {LIMIT_S} s of the processor")

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    limits = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + LAST_S, limits[1]))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_CPU, limits)


def what_of(error: BaseException) -> str:
    """The kind of an error and where the project's code raised it, or called what did."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOT)]
    last = (own or frames)[-1]
    if isinstance(error, Broken):
        last = own[-2]
        return f"{error.about} {Path(last.filename).name}:{last.lineno}"
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno} in {last.name}"


def _add_lines(lines: IO[str], progress: Progress) -> bool:
    """Add what the log says; return whether an input was started and did not end."""
    started = False
    for line in lines:
        document = json.loads(line)
        started = isinstance(document, int)
        if started:
            continue
        seconds, what, *words = document
        progress.seconds += seconds
        if words:
            progress.add_finding(progress.num, what, words[0][:500])
        else:
            progress.outcomes[what] += 1
        progress.num += 1
    return started


def _add_end(target: Target, status: int, started: bool, progress: Progress) -> None:
    """Add the input at which the process ended, and go on behind it."""
    words = f"the process ended with status {os.waitstatus_to_exitcode(status)}"
    if not started:
        raise SystemExit(f"{target.name}: cannot begin: {words}")
    if target.may_end and os.waitstatus_to_exitcode(status) != -signal.SIGXCPU:
        progress.outcomes[ENDED] += 1
    else:
        progress.add_finding(progress.num, "ended the process", words)
    progress.num += 1
