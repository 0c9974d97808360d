"""How long many labellers wait for one driver, with a real Ray on this machine: labellers that only sleep.

    python -m tools.many_ray_labellers 1 10 100 [--shard-s 20] [--shards-each 3]

The driver is that of a run (`actors.pool` with its queue of work), and Ray is real: each labeller is a
process of Ray's with a thread for questions, and gets and gives what a real one does, in bytes. It imports
nothing of fo1-data, to be small. The driver packs the report of each shard too, which a labeller would.
`working`: the share of their time that labellers work between their first shard and their last.
`driver_ms_a_shard`: the processor time of all threads of the driver. Ray's other processes are on the same
cores, unlike on a cluster.
"""

import argparse
import json
import os
import pickle
import time
from dataclasses import dataclass
from typing import Any

import ray

import actors.pool
from actors.cluster import Need, ray_for
from actors.labeller import PROGRESS_GROUP
from actors.placement import Place
from actors.pool import LabellerPool
from fo1_data.available_memory import available_memory_bytes
from fo1_data.dataset.shard_files import WriteOptions
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.work_done import WorkDone
from fo1_data.runs.shard_labeller import LabellerSettings
from fo1_data.runs.shard_work import ShardWork
from schemas.dataset import Counts
from schemas.jobs import RunConfig
from schemas.shards import ShardReport
from tools import light_labeller
from tools.light_labeller import LightLabeller
from tools.many_labellers import CountingRun, made_up_shard

AT_ONCE = 4  # labellers that start at a time: the machine may have few cores
_IDENTITY = LabellerIdentity("made-up", "0", None, "corpus", "0", None, "0", "float32")
_CONSTANTS = {
    "place": pickle.dumps(Place("node", "address")),
    "load": pickle.dumps(_IDENTITY),
    "work_done": pickle.dumps(("", WorkDone())),
}


class _RealRay:
    """Ray, with labellers that are `_Actor`s."""

    def kill(self, actor: "_Actor") -> None:
        ray.kill(actor.handle)

    def __getattr__(self, name: str) -> Any:
        return getattr(ray, name)


class _Actor:
    """A light labeller with the calls of a real one."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    def __getattr__(self, name: str) -> "_Call":
        return _Call(self.handle, name)


@dataclass(frozen=True)
class _Call:
    handle: Any
    name: str

    def remote(self, *args: Any) -> Any:
        if self.name in ("place", "load"):
            return self.handle.constant.remote(self.name)
        if self.name == "work_done":
            return self.handle.work_done.options(concurrency_group=PROGRESS_GROUP).remote()
        if self.name == "read_ahead":
            return self.handle.read_ahead.options(concurrency_group=PROGRESS_GROUP).remote(pickle.dumps(args))
        shard, try_id, _ = args
        counts = Counts(images=len(shard.images))
        report = ShardReport(
            shard_id=shard.shard_id, index=shard.index, try_id=try_id, files=[], counts=counts
        )
        return self.handle.label_shard.remote(pickle.dumps(args), pickle.dumps(report))


class _Pool(LabellerPool):
    """A pool of light labellers, which begins when all have loaded."""

    def __init__(self, num_labellers: int, shard_s: float) -> None:
        settings = LabellerSettings(RunConfig(corpus="made-up", out="made-up"))
        super().__init__(settings, Need(1, 0), num_labellers, num_labellers, 0.0, print)
        self._shard_s = shard_s

    def start(self) -> LabellerIdentity:
        while len(self._slots) < self._most:
            self._grow(min(len(self._slots) + AT_ONCE, self._most))
            while any(slot.doing != "idle" for slot in self._slots):
                self._settle_ready(None)
        return _IDENTITY

    def _new_actor(self) -> _Actor:
        options: dict[str, Any] = {"num_cpus": 0.001, "concurrency_groups": {PROGRESS_GROUP: 1}}
        kind: Any = ray.remote(**options)(LightLabeller)
        return _Actor(kind.remote(_CONSTANTS, self._shard_s))


def measure(num_labellers: int, shard_s: float, shards_each: int) -> dict[str, float]:
    """The share of their time that the labellers work, and what the driver does meanwhile."""
    pool, run = _Pool(num_labellers, shard_s), CountingRun()
    began_s = time.monotonic()
    pool.start()
    started_s, processor_s = time.monotonic(), time.process_time()
    light_labeller.times_s.clear()
    num_shards = num_labellers * shards_each
    pool.run(ShardWork([made_up_shard(number) for number in range(num_shards)], 1), WriteOptions(), run)
    processor_s = time.process_time() - processor_s
    worked_s = sum(worked for _, worked in light_labeller.times_s)
    idle_s = sum(idle for idle, _ in light_labeller.times_s if idle is not None)
    took_s = time.monotonic() - started_s
    pool.stop()
    return {
        "labellers": num_labellers,
        "shard_s": shard_s,
        "shards": num_shards,
        "working": round(worked_s / (worked_s + idle_s), 4),
        "driver_ms_a_shard": round(1e3 * processor_s / num_shards, 1),
        "driver_busy": round(processor_s / took_s, 3),
        "loops": run.num_loops,
        "took_s": round(took_s, 1),
        "start_s": round(started_s - began_s, 1),
        "load": round(os.getloadavg()[0], 1),
        "free_gb": round((available_memory_bytes() or 0) / 2**30, 1),
    }


def main() -> None:
    """Measure the numbers of labellers that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("labellers", type=int, nargs="+")
    parser.add_argument("--shard-s", type=float, default=20.0)
    parser.add_argument("--shards-each", type=int, default=3)
    given = parser.parse_args()
    os.environ.update(RAY_enable_worker_prestart="0", RAY_prestart_worker_first_driver="0")
    actors.pool.ray = _RealRay()  # type: ignore[assignment, attr-defined]
    with ray_for(RunConfig(corpus="made-up", out="made-up", actors="1")):
        for num_labellers in given.labellers:
            print(json.dumps(measure(num_labellers, given.shard_s, given.shards_each)), flush=True)


if __name__ == "__main__":
    main()
