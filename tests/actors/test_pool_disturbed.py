"""A pool of simulated labellers that are slow, die and raise, and a driver that stands still: a shard is
reported once. The same with a real Ray is in `test_runs_on_ray.py`."""

from collections import Counter
from collections.abc import Set
from itertools import chain, repeat
from typing import Any

import pytest
from factories import make_shard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ray.exceptions import ActorDiedError, RayTaskError

import actors.losses
import actors.pool
import actors.progress
from actors.cluster import Need
from actors.placement import Place
from actors.pool import LabellerPool
from fo1_data.dataset.shard_files import WriteOptions
from fo1_data.errors import StorageError
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.work_done import WorkDone
from fo1_data.runs.shard_labeller import LabellerSettings
from fo1_data.runs.shard_work import MAX_WRITES, ShardWork
from schemas.corpus import Shard
from schemas.dataset import Counts
from schemas.jobs import RunConfig
from schemas.shards import ShardReport
from tools.many_labellers import SimulatedRay

IMAGES_A_SHARD = 2
USUAL_S = 10.0
MOST_ROUNDS = 2_000
IDENTITY = LabellerIdentity("made-up", "0", None, "corpus", "0", None, "0", "float32")


class StillClock:
    """Seconds that pass only where they are skipped."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def skip(self, seconds: float) -> None:
        self.now_s += max(seconds, 0.0)


class FaultyRay(SimulatedRay):
    """Answers may be exceptions; both nodes live."""

    def get(self, ref: Any) -> Any:
        value = super().get(ref)
        if isinstance(value, Exception):
            raise value
        return value

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": "0", "Alive": True}, {"NodeID": "1", "Alive": True}]


class Ref:
    def __init__(self, ready_s: float, value: Any) -> None:
        self.ready_s, self.value = ready_s, value


class Labeller:
    """A labeller whose calls take as long, and end as, the world says."""

    def __init__(self, world: "World", number: int) -> None:
        self._world, self._number = world, number

    def __getattr__(self, name: str) -> Any:
        return Call(self, name)

    def answer(self, name: str, args: tuple[Any, ...]) -> Ref:
        world, now_s = self._world, self._world.clock.now_s
        if name in ("place", "load", "work_done", "read_ahead"):
            place = Place(str(self._number % 2), f"host-{self._number % 2}")
            values = {"place": place, "load": IDENTITY, "work_done": ("", WorkDone())}
            return Ref(now_s, values.get(name))
        if name == "label_shard" and self._number % 2 in world.storeless:
            error = StorageError("nothing of the corpus can be fetched")
            return Ref(now_s + USUAL_S, RayTaskError(name, str(error), error))
        seconds, end = next(world.fates)
        if name == "assemble_shard":
            world.num_writes += 1  # one that always loses its labeller ends the run
            end = end if world.num_writes < MAX_WRITES else "answers"
        value: Any = f"{args[1]}-{args[2]}"
        if name != "label_piece":
            shard: Shard = args[0]
            counts = Counts(images=len(shard.images))
            value = ShardReport(
                shard_id=shard.shard_id, index=shard.index, try_id="t", files=[], counts=counts
            )
        if name == "label_shard" and end in ("answers", "dies after its marker"):
            world.marked.append((now_s + seconds, value))
        if end.startswith("dies"):
            value = ActorDiedError()
        elif end == "raises" and name != "assemble_shard":
            value = RayTaskError(name, "ValueError: no", ValueError("no"))
        return Ref(now_s + seconds, value)


class Call:
    def __init__(self, labeller: Labeller, name: str) -> None:
        self._labeller, self._name = labeller, name

    def remote(self, *args: Any) -> Ref:
        return self._labeller.answer(self._name, args)


class World:
    """What happens to the calls, in turn; and which shards have a marker from when on.

    storeless: the hosts that do not reach the corpus.
    """

    def __init__(self, fates: list[tuple[float, str]], storeless: Set[int] = frozenset()) -> None:
        self.storeless = storeless
        self.clock = StillClock()
        self.fates = chain(fates, repeat((USUAL_S, "answers")))
        self.marked: list[tuple[float, ShardReport]] = []
        self.num_writes = 0
        self.notes: list[str] = []


class Pool(LabellerPool):
    """A pool of simulated labellers, for which there is always room."""

    def __init__(self, world: World, num_labellers: int) -> None:
        made_up = LabellerSettings(RunConfig(corpus="made-up", out="made-up"))
        super().__init__(made_up, Need(1, 1), num_labellers, num_labellers, 0.0, world.notes.append)
        self._world, self._num_made = world, 0

    def _await_room(self) -> None:
        pass

    def _new_actor(self) -> Labeller:
        self._num_made += 1
        return Labeller(self._world, self._num_made)


class Run:
    """A run whose driver stands still every so many rounds. `reported`: the shards, by their index."""

    def __init__(self, world: World, pause_s: float, rounds_between: int) -> None:
        self._world, self._pause_s, self._rounds_between = world, pause_s, rounds_between
        self._rounds = 0
        self.reported: Counter[int] = Counter()

    def add(self, report: ShardReport) -> None:
        self.reported.update([report.index])

    def add_inside(self, done: WorkDone) -> None:
        pass

    def tick(self) -> None:
        self._rounds += 1
        assert self._rounds < MOST_ROUNDS, "the run does not end"
        self._world.clock.skip(0.0 if self._rounds % self._rounds_between else self._pause_s)

    def find_report(self, shard: Shard) -> ShardReport | None:
        now_s = self._world.clock.now_s
        marked = self._world.marked
        return next((r for s, r in marked if r.index == shard.index and s <= now_s), None)

    def count_steps(self, shard: Shard) -> int:
        return 0


FATES = st.tuples(
    st.sampled_from([USUAL_S / 2, USUAL_S, 3 * USUAL_S, 20 * USUAL_S]),
    st.sampled_from(["answers", "answers", "answers", "dies", "dies after its marker", "raises"]),
)

# The last shard is overdue and tried twice: both tries end while the driver stands still.
TRIED_TWICE = {"num_shards": 4, "num_labellers": 2, "pause_s": 15.0, "rounds_between": 35}


@settings(deadline=None)
@example(fates=[(USUAL_S, "answers")] * 3 + [(4 * USUAL_S, "answers")], **TRIED_TWICE)
@example(fates=[(USUAL_S, "answers")] * 3 + [(4 * USUAL_S, "dies")], **TRIED_TWICE)
@given(
    num_shards=st.integers(1, 8),
    num_labellers=st.integers(1, 3),
    fates=st.lists(FATES, max_size=12),
    pause_s=st.sampled_from([0.0, 15.0, 300.0]),
    rounds_between=st.integers(1, 40),
)
def test_each_shard_is_reported_once_whatever_happens(
    num_shards: int, num_labellers: int, fates: list[tuple[float, str]], pause_s: float, rounds_between: int
) -> None:
    assert _run(World(fates), num_shards, num_labellers, pause_s, rounds_between) == Counter(
        range(num_shards)
    )


def test_what_one_host_cannot_fetch_is_labelled_by_another() -> None:
    world = World([], storeless={0})
    assert _run(world, num_shards=8, num_labellers=3) == Counter(range(8))
    (told, *_) = (note for note in world.notes if "goes to another" in note)
    assert "cannot use a store, its work goes to another: nothing of the corpus can be fetched" in told


def test_a_run_ends_where_no_host_can_fetch_the_corpus() -> None:
    with pytest.raises(StorageError, match="nothing of the corpus"):
        _run(World([], storeless={0, 1}), num_shards=8, num_labellers=3)


def _run(
    world: World, num_shards: int, num_labellers: int, pause_s: float = 0.0, rounds_between: int = 1
) -> Counter[int]:
    """How often each shard is reported."""
    images = [[f"memory://{index}/{place}.png" for place in range(IMAGES_A_SHARD)] for index in range(9)]
    work = ShardWork([make_shard(index, images[index]) for index in range(num_shards)], max_tries=20)
    run = Run(world, pause_s, rounds_between)
    with pytest.MonkeyPatch.context() as patch:
        ray = FaultyRay(world.clock, 0.0)
        for module in (actors.pool, actors.losses, actors.progress):
            patch.setattr(module, "ray", ray)
        for module in (actors.pool, actors.progress):
            patch.setattr(module, "time", world.clock)
        pool = Pool(world, num_labellers)
        pool.start()
        pool.run(work, WriteOptions(), run)
    return run.reported
