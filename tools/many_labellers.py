"""How long a thousand labellers wait for one driver: its loop in simulated time, from 1 to 1,000 labellers.

    python -m tools.many_labellers 1 10 100 1000 [--shard-s 20] [--shards-each 10] [--call-us 200]

The driver is that of a run: `actors.pool` with its queue of work. In place of Ray stands a simulation in this
process: a labeller answers `--shard-s` seconds (a tenth more or less) after it was given a shard. The clock
moves by the processor time that the driver takes, by `--call-us` for each call, answer or wait of Ray (an
assumption), and to the next answer when the driver waits. So the figures do not depend on what else the
machine does, and a cluster's network and Ray's own processes are not in them.
"""

import argparse
import json
import pickle
import random
import time
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Any

import actors.pool
import actors.progress
from actors.cluster import Need
from actors.placement import Place
from actors.pool import LabellerPool
from fo1_data.dataset.shard_files import WriteOptions
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.work_done import WorkDone
from fo1_data.runs.shard_labeller import LabellerSettings
from fo1_data.runs.shard_work import ShardWork
from schemas.corpus import CorpusImage, Shard
from schemas.dataset import Counts
from schemas.jobs import RunConfig
from schemas.shards import ShardReport

IMAGES_A_SHARD = 100
_IDENTITY = LabellerIdentity("made-up", "0", None, "corpus", "0", None, "0", "float32")


class Clock:
    """Simulated seconds: the processor time of this process, and what was skipped."""

    def __init__(self) -> None:
        self._skipped_s = -time.process_time()

    def monotonic(self) -> float:
        """The time now, under the name that `time` has for it."""
        return time.process_time() + self._skipped_s

    def skip(self, seconds: float) -> None:
        """Let time pass in which the driver does nothing, or what is not simulated."""
        self._skipped_s += max(seconds, 0.0)


@dataclass(eq=False)
class _Ref:
    ready_s: float
    value: Any


class SimulatedRay:
    """What a pool asks of Ray."""

    def __init__(self, clock: Clock, call_s: float) -> None:
        self.clock, self.call_s = clock, call_s

    def wait(
        self, refs: list[_Ref], num_returns: int = 1, timeout: float = 0.0
    ) -> tuple[list[_Ref], list[_Ref]]:
        self.clock.skip(self.call_s)
        now_s = self.clock.monotonic()
        last_s = nsmallest(num_returns, (ref.ready_s for ref in refs))[-1]
        self.clock.skip(min(last_s - now_s, timeout))
        now_s = max(now_s, min(last_s, now_s + timeout))
        ready = [ref for ref in refs if ref.ready_s <= now_s][:num_returns]
        chosen = set(map(id, ready))
        return ready, [ref for ref in refs if id(ref) not in chosen]

    def get(self, ref: _Ref) -> Any:
        self.clock.skip(self.call_s)
        return ref.value

    def kill(self, actor: Any) -> None:
        """Nothing is left of a simulated labeller."""


@dataclass
class _Labeller:
    """A labeller. worked_s: how long it had a shard; idle_s: how long it had none between two shards; free_s:
    when its shard ends."""

    ray: SimulatedRay
    shard_s: float
    draw: random.Random
    idle_s: float = 0.0
    worked_s: float = 0.0
    free_s: float | None = field(default=None)

    def __getattr__(self, name: str) -> "_Call":
        return _Call(self, name)

    def answer(self, name: str, args: tuple[Any, ...]) -> _Ref:
        pickle.dumps(args)  # as Ray does
        self.ray.clock.skip(self.ray.call_s)
        now_s = self.ray.clock.monotonic()
        if name != "label_shard":
            values = {"place": Place("node", "address"), "load": _IDENTITY, "work_done": ("", WorkDone())}
            return _Ref(now_s + 0.001, values.get(name))
        if self.free_s is not None:
            self.idle_s += now_s - self.free_s
        takes_s = self.shard_s * self.draw.uniform(0.9, 1.1)
        self.worked_s += takes_s
        self.free_s = now_s + takes_s
        shard, try_id, _ = args
        report = ShardReport(
            shard_id=shard.shard_id, index=shard.index, try_id=try_id, files=[], counts=Counts(images=100)
        )
        return _Ref(self.free_s, report)


@dataclass(frozen=True)
class _Call:
    labeller: _Labeller
    name: str

    def remote(self, *args: Any) -> _Ref:
        return self.labeller.answer(self.name, args)


class _Pool(LabellerPool):
    """A pool of simulated labellers, for which there is always room."""

    def __init__(self, ray: SimulatedRay, shard_s: float, num_labellers: int) -> None:
        settings = LabellerSettings(RunConfig(corpus="made-up", out="made-up"))
        super().__init__(settings, Need(1, 1), num_labellers, num_labellers, 0.0, print)
        self.labellers: list[_Labeller] = []
        self._ray, self._shard_s, self._draw = ray, shard_s, random.Random(0)

    def _await_room(self) -> None:
        pass

    def _new_actor(self) -> _Labeller:
        self.labellers.append(_Labeller(self._ray, self._shard_s, self._draw))
        return self.labellers[-1]


class CountingRun:
    """A run that counts the loops of its driver."""

    def __init__(self) -> None:
        self.num_loops = 0

    def add(self, report: ShardReport) -> None:
        """Its dataset is not written."""

    def add_inside(self, done: WorkDone) -> None:
        """Its progress is not shown."""

    def tick(self) -> None:
        self.num_loops += 1

    def find_report(self, shard: Shard) -> ShardReport | None:
        return None

    def count_steps(self, shard: Shard) -> int:
        return 0


def measure(num_labellers: int, shard_s: float, shards_each: int, call_us: float) -> dict[str, float]:
    """The share of their time that the labellers work, and what the driver does meanwhile."""
    clock = Clock()
    ray = SimulatedRay(clock, call_us / 1e6)
    for module in (actors.pool, actors.progress):
        module.ray, module.time = ray, clock  # type: ignore[attr-defined]
    pool = _Pool(ray, shard_s, num_labellers)
    pool.start()
    work = ShardWork([made_up_shard(number) for number in range(num_labellers * shards_each)], 1)
    run = CountingRun()
    started_s, processor_s = clock.monotonic(), time.process_time()
    pool.run(work, WriteOptions(), run)
    worked_s = sum(labeller.worked_s for labeller in pool.labellers)
    idle_s = sum(labeller.idle_s for labeller in pool.labellers)
    return {
        "labellers": num_labellers,
        "shard_s": shard_s,
        "shards": num_labellers * shards_each,
        "working": round(worked_s / (worked_s + idle_s), 4),
        "driver_ms_a_loop": round(1e3 * (time.process_time() - processor_s) / run.num_loops, 2),
        "loops": run.num_loops,
        "simulated_s": round(clock.monotonic() - started_s, 1),
    }


def made_up_shard(number: int) -> Shard:
    """A shard of images that nobody reads."""
    images = [
        CorpusImage(uri=f"s3://bucket/images/{number:09d}/{place:04d}.jpg") for place in range(IMAGES_A_SHARD)
    ]
    return Shard(shard_id=f"{number:016x}", index=number, images=images)


def main() -> None:
    """Measure the numbers of labellers that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("labellers", type=int, nargs="+")
    parser.add_argument("--shard-s", type=float, default=20.0)
    parser.add_argument("--shards-each", type=int, default=10)
    parser.add_argument("--call-us", type=float, default=200.0)
    given = parser.parse_args()
    for num_labellers in given.labellers:
        figures = measure(num_labellers, given.shard_s, given.shards_each, given.call_us)
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
