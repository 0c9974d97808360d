"""Labelling on Ray with two labellers, on a small disk, under faults of all its processes and files."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from driving import Driver, LabellingRun, Spawned
from injectors import Clock, damage, fill, hold, kill, small_disk, starve
from ledger import check_labelled
from made_corpus import make_corpus
from ray_head import RayHead
from record import Segment

from fo1_data.runs.in_process import IN_PROCESS

NUM_IMAGES = 40
FAULTS_A_SEGMENT = 60
AN_HOUR_S = 3600
LABELLERS_WITHIN_S = 30
SPAWNED = 0.15  # the share of drivers that are programs of their own where that is not needed


class Labelling:
    """Segments of labelling on a small disk: on Ray, or without a head in one process.

    stop_s: how long stopped processes stay so; None: up to 1.5 s.
    """

    def __init__(self, head: RayHead | None, clock: Clock, stop_s: float | None) -> None:
        self._head, self._clock, self._stop_s = head, clock, stop_s

    def run(self, segment: Segment, chance: random.Random, folder: Path, limit: int) -> None:
        """Label a corpus under at most `limit` faults, and check the dataset."""
        corpus = make_corpus(folder / "corpus", chance, NUM_IMAGES)
        calm = LabellingRun(str(corpus), str(folder / "undisturbed"), {"QUICK_IMAGE_S": "0"})
        calm.finish(lambda driver: None)
        with small_disk(folder / "disk") as disk:
            run = LabellingRun(
                str(corpus),
                str((disk or folder) / "out"),
                self._clock.environment,
                (lambda: self._head.address) if self._head is not None else (lambda: IN_PROCESS),
                segment.stories,
            )
            harm = _Harm(self._head, run, self._clock, disk, chance, self._stop_s, segment)
            left = iter(range(min(limit, FAULTS_A_SEGMENT)))
            run.finish(lambda driver: harm.during(driver, left), lambda: chance.random() < SPAWNED)
            self._clock.jump(0)
            segment.findings = check_labelled(corpus, run.out, calm.out)


class _Harm:
    """Chooses and does harm to one run, and counts it."""

    def __init__(
        self,
        head: RayHead | None,
        run: LabellingRun,
        clock: Clock,
        disk: Path | None,
        chance: random.Random,
        stop_s: float | None,
        segment: Segment,
    ) -> None:
        self._head, self._run, self._clock, self._disk = head, run, clock, disk
        self._chance, self._stop_s, self._segment = chance, stop_s, segment
        self._kinds: dict[str, tuple[int, Callable[[Driver], bool]]] = {
            "driver killed": (4, lambda driver: kill(psutil.Process(driver.pid))),
            "driver killed, not reaped": (4, self._unreaped),
            "driver stopped": (3, lambda driver: self._hold(psutil.Process(driver.pid))),
            "second driver": (2, lambda driver: self._second()),
            "second driver an hour ahead": (1, lambda driver: self._second(AN_HOUR_S)),
            "clock jumped an hour": (4, lambda driver: clock.jump(chance.choice((-1, 1)) * AN_HOUR_S)),
            "marker damaged": (3, lambda driver: self._damaged("shards", "groups")),
            "shard file damaged": (3, lambda driver: self._damaged("tries")),
            "lease damaged": (1, lambda driver: self._damaged("lease")),
            "disk filled": (3, lambda driver: disk is not None and fill(disk, self._seconds())),
        }
        on_ray: dict[str, tuple[int, Callable[[Driver], bool]]] = {
            "labeller killed": (8, lambda driver: self._labeller(driver, kill)),
            "labeller stopped": (6, lambda driver: self._labeller(driver, self._hold)),
            "labeller out of memory": (4, lambda driver: self._labeller(driver, self._starve)),
            "Ray head killed": (3, lambda driver: any(kill(part) for part in self._part())),
            "Ray head stopped": (3, lambda driver: any(self._hold(part) for part in self._part())),
        }
        alone: dict[str, tuple[int, Callable[[Driver], bool]]] = {
            "driver out of memory": (3, lambda driver: self._starve(psutil.Process(driver.pid))),
        }
        self._kinds |= on_ray if head is not None else alone

    def during(self, driver: Driver, left: Iterator[int]) -> None:
        """Do harm at random moments while the driver runs."""
        is_early = self._chance.random() < 0.2
        names = list(self._kinds)
        weights = [weight for weight, _ in self._kinds.values()]
        while driver.poll() is None:
            if not is_early and not self._run.is_begun():
                time.sleep(0.02)
                continue
            time.sleep(self._chance.uniform(0.05, 0.7))
            if driver.poll() is not None or next(left, None) is None:
                return
            name = self._chance.choices(names, weights)[0]
            if self._kinds[name][1](driver):
                self._segment.injected[name] += 1
        if self._head is not None:
            self._head.start()

    def _seconds(self) -> float:
        return self._stop_s or self._chance.uniform(0.1, 1.5)

    def _hold(self, process: psutil.Process) -> bool:
        return hold(process, self._seconds())

    def _starve(self, process: psutil.Process) -> bool:
        return starve(process, self._chance.uniform(0.1, 0.6))

    def _labeller(self, driver: Driver, hurt: Callable[[psutil.Process], bool]) -> bool:
        """One of the labellers, waited for: a driver that has begun needs seconds until it has them.

        None comes where Ray's head is lost, for as long as Ray waits for it.
        """
        assert self._head is not None
        ends_s = time.monotonic() + LABELLERS_WITHIN_S
        while not (found := self._head.labellers()):
            if driver.poll() is not None or time.monotonic() > ends_s:
                return False
            time.sleep(0.05)
        return hurt(self._chance.choice(found))

    def _part(self) -> list[psutil.Process]:
        parts = self._head.parts() if self._head is not None else []
        return [self._chance.choice(parts)] if parts else []

    def _unreaped(self, driver: Driver) -> bool:
        """The driver is killed and stays a zombie while the next one starts and ends."""
        if not isinstance(driver, Spawned) or not kill(psutil.Process(driver.pid)):
            return False
        following = self._run.start()
        code = self._run.end(following)
        if code not in (0, -9) and any("being written by" in story for story in self._run.stories[-1:]):
            self._segment.findings.invalid.append(f"held by the dead: {self._run.stories[-1]}")
        return True

    def _second(self, ahead_s: float = 0) -> bool:
        """Another driver begins on the same folder, in this process alone."""
        environment = {"QUICK_IMAGE_S": "0"}
        if ahead_s:
            clock = Clock(Path(self._run.corpus).with_name("other-clock"))
            clock.jump(ahead_s)
            environment |= clock.environment
        self._run.end(self._run.start(IN_PROCESS, spawned=bool(ahead_s), **environment))
        return True

    def _damaged(self, *kinds: str) -> bool:
        files = [
            path
            for kind in kinds
            for path in (Path(self._run.out) / ".run" / kind).rglob("*")
            if path.is_file() and not path.name.startswith(".")
        ]
        return bool(files) and damage(self._chance.choice(files), self._chance)
