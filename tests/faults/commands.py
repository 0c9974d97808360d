"""Commands of `fo1` run to their end as a user does, again after each failure, and hurt while they run."""

import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from driving import ENDS_WITHIN_S, MOST_STARTS, do_as_told, last_line
from fo1_command import run_command
from forked import Forked
from injectors import Clock, damage, fill, hold, kill, starve
from record import Segment

AN_HOUR_S = 3600
LATE = 0.8  # the share of starts that are not hurt before they have begun to write
DAMAGED = 0.4  # the share of killed commands whose files are damaged before they are run again
_ENDS = {0, 1, -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGTERM}


@dataclass(frozen=True)
class Pace:
    """How a command is hurt: after its file `begun` is there, within `within_s`. `files`: those that may be
    damaged when it was killed, as patterns below its output."""

    begun: str
    within_s: float
    files: tuple[str, ...] = ()


# The files of a step that is begun anew are few, and there for a moment only.
VERSION = Pace(".run/derivation.json", 0.2)
LABELLING = Pace(
    ".run/lease/*", 3.0, (".run/shards/**/*", ".run/groups/**/*", ".run/tries/**/*", ".run/lease/*")
)
TRAINING = Pace("losses.jsonl", 3.0, ("training.pt", "training.json", "losses.jsonl", "lineage.json"))


class Commands:
    """The commands of a segment. `clock`: the one all forks go by; `disk`: the small one they write to.

    `wanted`: how many faults the segment has at most; with 0 nothing is hurt.
    """

    def __init__(
        self,
        segment: Segment,
        chance: random.Random,
        cache: Path,
        stop_s: float | None = None,
        wanted: int = 0,
        clock: Clock | None = None,
        disk: Path | None = None,
    ) -> None:
        self._segment, self._chance, self._stop_s, self._wanted = segment, chance, stop_s, wanted
        self._clock, self._disk, self._cache = clock, disk, cache / "cache"
        self._environment = {"FO1_CACHE_DIR": str(self._cache)}
        self._kinds: dict[str, tuple[int, Callable[[psutil.Process], bool]]] = {
            "killed": (5, kill),
            "stopped": (3, lambda process: hold(process, self._seconds())),
            "asked to end": (2, _terminate),
            "out of memory": (1, lambda process: starve(process, chance.uniform(0.1, 0.6))),
            "disk filled": (2, lambda process: disk is not None and fill(disk, self._seconds())),
            "clock jumped an hour": (1, lambda process: self._jump()),
        }

    def disturb(self, step: str, out: Path, arguments: list[str], most: int, pace: Pace = VERSION) -> None:
        """Run `fo1 ARGUMENTS --out OUT` until it succeeds, with at most `most` faults on the way."""
        end = min(self._segment.num_injected + most, self._wanted)
        for _ in range(MOST_STARTS):
            process = Forked(run_command, (*arguments, "--out", str(out)), self._environment)
            self._hurt(process, step, out, pace, end)
            if self._ended(process, step, str(out)) == 0:
                return
            if self._is_left(end) and self._chance.random() < DAMAGED:
                self._damage(step, out, pace)
        raise RuntimeError(f"{step} did not end in {MOST_STARTS} starts: {self._segment.stories[-3:]}")

    def _hurt(self, process: Forked, step: str, out: Path, pace: Pace, end: int) -> None:
        waits = self._chance.random() < LATE
        while process.poll() is None and self._is_left(end):
            if waits and not any(out.glob(pace.begun)):
                time.sleep(0.005)
                continue
            time.sleep(self._chance.uniform(0, pace.within_s if waits else 3.0))
            if process.poll() is not None:
                return
            names = list(self._kinds)
            name = self._chance.choices(names, [weight for weight, _ in self._kinds.values()])[0]
            with suppress(psutil.Error):
                if self._kinds[name][1](psutil.Process(process.pid)):
                    self._segment.injected[_told(step, name)] += 1

    def _ended(self, process: Forked, step: str, out: str) -> int:
        told = process.end(ENDS_WITHIN_S)
        if told is None:
            self._segment.stories.append(f"{step} hung: {process.stacks()}")
            process.kill()
            self._segment.findings.invalid.append(f"{step} hung: {last_line(process.end(10) or '')}")
            return -signal.SIGKILL
        assert process.returncode is not None
        if "this step has finished it already" in told:  # it was killed after its work
            return 0
        done = do_as_told(told, out)
        if done is not None:
            self._segment.stories.append(f"{step}: {done}")
        elif process.returncode not in _ENDS:
            self._segment.stories.append(f"{step} ended with {process.returncode}: {told[-1500:]}")
            time.sleep(0.2)
        elif process.returncode == 1:
            self._segment.stories.append(
                f"{step}: {told[-1500:] if 'Traceback' in told else last_line(told)}"
            )
        return process.returncode

    def _damage(self, step: str, out: Path, pace: Pace) -> None:
        files = [path for pattern in pace.files for path in out.glob(pattern) if path.is_file()]
        features = list(self._cache.glob("features/*/*"))
        chosen = [self._chance.choice(part) for part in (files, features) if part]
        if chosen and damage(self._chance.choice(chosen), self._chance):
            self._segment.injected[f"file of a {step} damaged"] += 1

    def _is_left(self, end: int) -> bool:
        return self._segment.num_injected < end

    def _seconds(self) -> float:
        return self._stop_s or self._chance.uniform(0.1, 1.5)

    def _jump(self) -> bool:
        return self._clock is not None and self._clock.jump(self._chance.choice((-1, 1)) * AN_HOUR_S)


def _terminate(process: psutil.Process) -> bool:
    process.terminate()
    return True


def _told(step: str, name: str) -> str:
    return name if name in ("disk filled", "clock jumped an hour") else f"{step} {name}"
