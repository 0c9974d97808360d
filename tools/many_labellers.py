"""What a cluster's labellers ask of one driver: its processor time a shard, from 1 to 1,000 labellers.

    python -m tools.many_labellers 1 10 100 1000 [--shard-s 60] [--shards-each 3]

The driver is that of a run: `actors.pool` with its queue of work, on a local Ray. A labeller is no process of
its own: each of `HOSTS` Ray actors plays many. It sleeps `--shard-s` seconds for a shard and answers; calls,
answers and waiting go through Ray as on a cluster. Printed are the share of the time that labellers work, by
the clock, and the processor seconds of the driver: on a machine that others use trust those.
"""

import argparse
import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

import ray

from actors.cluster import LOCAL, Need, ray_for
from actors.placement import Place, this_place
from actors.pool import LabellerPool
from fo1_data.dataset.shard_files import WriteOptions
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.work_done import WorkDone
from fo1_data.runs.shard_labeller import LabellerSettings
from fo1_data.runs.shard_work import ShardWork
from schemas.corpus import CorpusImage, Shard
from schemas.dataset import Counts, ShardFile, ShardReport
from schemas.jobs import RunConfig

HOSTS = 4
IMAGES_A_SHARD = 100
_CONFIG = RunConfig(corpus="made-up", out="made-up", address=LOCAL)
_SPLITS = ("test", "train", "validation")
_IDENTITY = LabellerIdentity("made-up", "0", None, "corpus", "0", None, "0", "float32")


@ray.remote(num_cpus=0, max_concurrency=2_000)
class _Host:
    """Plays labellers: each of its calls is that of one of them."""

    def __init__(self, shard_s: float) -> None:
        self._shard_s = shard_s

    async def place(self) -> Place:
        return this_place()

    async def load(self) -> LabellerIdentity:
        return _IDENTITY

    async def work_done(self) -> tuple[str, WorkDone]:
        return "", WorkDone()

    async def read_ahead(self, shard: Shard) -> None:
        pass

    async def label_shard(self, shard: Shard, try_id: str, options: WriteOptions) -> ShardReport:
        await asyncio.sleep(self._shard_s)
        files = [
            ShardFile(
                split=split, path=f"{try_id}/{split}.parquet", num_rows=33, num_bytes=1, sha256="0" * 64
            )
            for split in _SPLITS
        ]
        return ShardReport(
            shard_id=shard.shard_id, index=shard.index, try_id=try_id, files=files, counts=Counts(images=100)
        )


@dataclass(frozen=True)
class _Played:
    """The handle of a labeller that a host plays."""

    host: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.host, name)


class _PlayedPool(LabellerPool):
    """A pool whose labellers are played by `hosts`."""

    def __init__(self, hosts: list[Any], num_labellers: int) -> None:
        settings = LabellerSettings(_CONFIG)
        super().__init__(settings, Need(0.0001, 0), num_labellers, num_labellers, 0.0, print)
        self._hosts, self._num_played = hosts, 0

    def _new_actor(self) -> Any:
        self._num_played += 1
        return _Played(self._hosts[self._num_played % len(self._hosts)])

    def _kill(self, actor: Any) -> None:
        """The host plays others too."""


def measure(num_labellers: int, shard_s: float, shards_each: int) -> dict[str, float]:
    """The driver's figures for a run of so many labellers, once all of them have loaded."""
    hosts = [_Host.remote(shard_s) for _ in range(min(HOSTS, num_labellers))]
    pool = _PlayedPool(hosts, num_labellers)
    pool.start()
    shards = [_shard(number) for number in range(num_labellers * shards_each)]
    seconds, clock_s, loops = time.process_time(), time.monotonic(), 0

    def count() -> None:
        nonlocal loops
        loops += 1

    pool.run(ShardWork(shards, 1), WriteOptions(), lambda report: None, count, lambda shard: None)
    seconds, clock_s = time.process_time() - seconds, time.monotonic() - clock_s
    for host in hosts:
        ray.kill(host)
    return {
        "labellers": num_labellers,
        "shard_s": shard_s,
        "shards": len(shards),
        "working": round(shards_each * shard_s / clock_s, 3),
        "driver_ms_a_shard": round(1e3 * seconds / len(shards), 2),
        "driver_share_of_a_core": round(seconds / clock_s, 3),
        "loops": loops,
        "driver_ms_a_loop": round(1e3 * seconds / loops, 2),
    }


def _shard(number: int) -> Shard:
    images = [
        CorpusImage(uri=f"s3://bucket/images/{number:09d}/{place:04d}.jpg") for place in range(IMAGES_A_SHARD)
    ]
    return Shard(shard_id=f"{number:016x}", index=number, images=images)


def main() -> None:
    """Measure the numbers of labellers that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("labellers", type=int, nargs="+")
    parser.add_argument("--shard-s", type=float, default=60.0)
    parser.add_argument("--shards-each", type=int, default=3)
    given = parser.parse_args()
    with ray_for(_CONFIG):
        for num_labellers in given.labellers:
            print(json.dumps(measure(num_labellers, given.shard_s, given.shards_each)), flush=True)


if __name__ == "__main__":
    main()
