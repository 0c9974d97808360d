"""Runs a labelling run to its end as a user does: again after each failure, doing what messages say."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from forked import Forked
from label_driver import label

from fo1_data.runs.in_process import IN_PROCESS
from fo1_data.storage.store import open_store, split_address

HERE = Path(__file__).parent
ENDS_WITHIN_S = 180.0
MOST_STARTS = 40
# The pause before the next try, where a lost driver looks alive because its lease was damaged.
HELD_S = 3.0
_DELETE = re.compile(r"^fo1: (\S+) is (?:damaged|gone).*?[:;] delete (it|/\S+|s3://\S+)", re.MULTILINE)
# A second driver, a killed one and a failed store end so; 2 is never right for settings that were accepted.
_ENDS = {0, 1, -9}


class Spawned(subprocess.Popen[bytes]):
    """A program of its own, whose parent may leave it unreaped."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        super().__init__(
            command,
            env={**os.environ, **environment},
            stdout=self._log,
            stderr=self._log,
        )

    def end(self, timeout_s: float) -> str | None:
        """What it told, once it has ended; None if it has not after `timeout_s`."""
        try:
            self.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self._log.seek(0)
        return self._log.read().decode()


Driver = Forked | Spawned
Hurt = Callable[[Driver], None]


@dataclass
class LabellingRun:
    """A corpus that is labelled into `out` until it is done. stories: what a user would tell of it."""

    corpus: str
    out: str
    environment: dict[str, str] = field(default_factory=dict)
    address: Callable[[], str] = lambda: IN_PROCESS
    stories: list[str] = field(default_factory=list)

    def start(self, address: str | None = None, *, spawned: bool = False, **environment: str) -> Driver:
        """One driver; it begins in no time where it needs no Ray and no program of its own."""
        address = address or self.address()
        arguments = [self.corpus, self.out, address]
        environment = {**self.environment, **environment}
        if address == IN_PROCESS and not spawned:
            return Forked(label, tuple(arguments), environment)
        return Spawned([sys.executable, str(HERE / "label_driver.py"), *arguments], environment)

    def is_begun(self) -> bool:
        """Whether a driver holds or held the folder's lease."""
        folder = Path(self.out) / ".run" / "lease"
        return folder.is_dir() and any(folder.iterdir())

    def finish(self, hurt: Hurt, spawned: Callable[[], bool] = lambda: False) -> None:
        """Start drivers until one succeeds. hurt: called with each while it runs, and does the harm."""
        for _ in range(MOST_STARTS):
            driver = self.start(spawned=spawned())
            hurt(driver)
            if self.end(driver) == 0:
                return
            if self.stories and "being written by" in self.stories[-1]:
                time.sleep(HELD_S)
        raise RuntimeError(f"{self.out} did not end in {MOST_STARTS} starts: {self.stories[-3:]}")

    def end(self, driver: Driver) -> int:
        """Wait for a driver, do what it says, and return its exit code."""
        told = driver.end(ENDS_WITHIN_S)
        if told is None:
            driver.kill()
            told = driver.end(ENDS_WITHIN_S) or ""
            self.stories.append(f"hung: {last_line(told)}")
            return -9
        assert driver.returncode is not None
        if driver.returncode not in _ENDS or "Traceback" in told:
            self.stories.append(f"ended with {driver.returncode}: {told[-2000:]}")
        if (done := do_as_told(told, self.out)) is not None:
            self.stories.append(done)
        elif driver.returncode != -9 and driver.returncode:
            self.stories.append(last_line(told))
            time.sleep(0.2)
        return driver.returncode


def do_as_told(told: str, out: str) -> str | None:
    """Delete what a message says is to be deleted; returns what was done, None if nothing was told."""
    if (damaged := _DELETE.search(told)) is not None:
        address = damaged[1] if damaged[2] == "it" else damaged[2]
        if address == out:
            open_store(out).delete_folder("")
            return f"begun anew as told: {last_line(told)}"
        if Path(address).is_dir():
            shutil.rmtree(address)
        else:
            store, name = split_address(address)
            open_store(store).delete(name)
        return f"deleted as told: {address.removeprefix(out)}"
    return None


def last_line(told: str) -> str:
    """The last line of a program that is an error, or just the last one."""
    lines = [line for line in told.splitlines() if line.startswith("fo1: ")] or told.splitlines()
    return lines[-1][:300] if lines else "(nothing)"
