"""Processes that begin with everything imported: forks of one that did nothing else."""

import faulthandler
import multiprocessing
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_CONTEXT: Any = multiprocessing.get_context("forkserver")


def begin_forking(environment: dict[str, str], modules: list[str]) -> None:
    """Start the process that is forked, with `modules` imported. environment: set before it begins."""
    _CONTEXT.set_forkserver_preload(modules)
    before = dict(os.environ)
    os.environ.update(environment)
    forkserver.ensure_running()
    os.environ.clear()
    os.environ.update(before)


class Forked:
    """`function(*arguments)` in a process of its own; it looks like a `Popen` to those who wait for it."""

    def __init__(
        self, function: Callable[..., None], arguments: tuple[Any, ...], environment: dict[str, str]
    ):
        self._log = Path(tempfile.mkstemp(prefix="fo1-driver-")[1])
        call = (str(self._log), environment, function, arguments)
        self._process: BaseProcess = _CONTEXT.Process(target=_run, args=call, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def stacks(self, within_s: float = 10.0) -> str:
        """Where its threads are, of one that does not end: the last lines of what it told then."""
        deadline_s = time.monotonic() + within_s
        os.kill(self.pid, signal.SIGUSR1)
        while "Current thread" not in (told := self._log.read_text()) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        return told[-6000:]

    def end(self, timeout_s: float) -> str | None:
        """What it told, once it has ended; None if it has not after `timeout_s`."""
        self._process.join(timeout_s)
        if self._process.exitcode is None:
            return None
        told = self._log.read_text()
        self._log.unlink()
        return told


def _run(
    log: str, environment: dict[str, str], function: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    os.environ.update(environment)
    with Path(log).open("wb", buffering=0) as told:
        os.dup2(told.fileno(), 1)
        os.dup2(told.fileno(), 2)
    faulthandler.register(signal.SIGUSR1, file=2)
    try:
        function(*arguments)
    except Exception:
        traceback.print_exc()
        os._exit(70)
