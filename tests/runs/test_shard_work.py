"""Whatever work is lost, it ends, and every image is settled exactly once."""

from collections import Counter

import pytest
from factories import make_shard
from hypothesis import given
from hypothesis import strategies as st

from fo1_data.dataset.shard_groups import GroupPlan
from fo1_data.errors import ClusterError
from fo1_data.runs.shard_work import MAX_INTERRUPTIONS, Assemble, Gather, LabelPiece, LabelWhole, ShardWork
from schemas.corpus import Shard
from schemas.dataset import Counts
from schemas.images import Reject, RejectStage
from schemas.shards import FileLimits, GroupReport, ShardReport


def shard_of(index: int, size: int) -> Shard:
    return make_shard(index, [f"memory://{index}/{place}.png" for place in range(size)])


def report_of(shard: Shard) -> ShardReport:
    counts = Counts(images=len(shard.images))
    return ShardReport(shard_id=shard.shard_id, index=shard.index, try_id="t", files=[], counts=counts)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    guilty=st.sets(st.integers(0, 35)),
    unlucky=st.lists(st.booleans(), max_size=60),
    max_tries=st.integers(1, 3),
)
def test_every_image_is_settled_once(
    sizes: list[int], guilty: set[int], unlucky: list[bool], max_tries: int
) -> None:
    shards = [shard_of(index, size) for index, size in enumerate(sizes)]
    names = [entry.name for shard in shards for entry in shard.images]
    poison = {names[place] for place in guilty if place < len(names)}
    luck = iter(unlucky)
    work = ShardWork(shards, max_tries)
    labelled: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    pieces: dict[str, list[str]] = {}
    steps = 0
    held: LabelWhole | None = None
    while (item := held or work.take()) is not None:
        held = None
        steps += 1
        assert steps < 2_000
        assert not isinstance(item, Gather)
        if isinstance(item, Assemble):
            for piece in item.pieces:
                if isinstance(piece, Reject):
                    assert piece.stage is RejectStage.WORKER
                    assert piece.replayable
                    rejected[piece.uri] += 1
                else:
                    labelled.update(pieces[piece])
            work.done(item)
            continue
        bounds = (item.start, item.stop) if isinstance(item, LabelPiece) else (0, None)
        own = [entry.name for entry in item.shard.images[slice(*bounds)]]
        # A worker taken away by chance is no fault of the image it was at, as long as that is rare.
        by_chance = next(luck, False) and len(own) > 1
        ahead = work.take_ahead() if isinstance(item, LabelWhole) and not item.alone else None
        beside = {entry.name for entry in ahead.shard.images} if ahead is not None else set()
        if by_chance or poison & (set(own) | beside):
            work.lost(item, "its process died", ahead)
            continue
        held = ahead
        if isinstance(item, LabelWhole):
            labelled.update(own)
            work.done(item)
        else:
            pieces[item.try_id] = own
            work.done(item, item.try_id)
    assert work.finished
    assert set(rejected) == poison
    assert labelled + rejected == Counter(names)


@given(taken=st.lists(st.booleans(), max_size=MAX_INTERRUPTIONS), max_tries=st.integers(1, 3))
def test_work_whose_host_was_lost_goes_to_another_as_it_is(taken: list[bool], max_tries: int) -> None:
    shards = [shard_of(0, 4), shard_of(1, 1), shard_of(2, 3)]
    work = ShardWork(shards, max_tries)
    tries: set[str] = set()
    done: list[int] = []
    is_taken = iter(taken)
    while (item := work.take()) is not None:
        assert isinstance(item, LabelWhole)
        assert item.try_id not in tries
        tries.add(item.try_id)
        if next(is_taken, False):
            work.interrupted(item, "its host is gone", work.take_ahead())
            continue
        done.append(item.shard.index)
        work.done(item)
    assert work.finished
    assert sorted(done) == [0, 1, 2]


def test_work_that_loses_every_host_ends_in_the_rejects() -> None:
    work = ShardWork([shard_of(0, 1)], max_tries=3)
    for _ in range(2 + MAX_INTERRUPTIONS + 1):
        item = work.take()
        assert isinstance(item, LabelWhole | LabelPiece)
        work.interrupted(item, "its host is gone")
    while isinstance(item := work.take(), LabelPiece):
        work.interrupted(item, "its host is gone")
    assert isinstance(item, Assemble)
    assert isinstance(item.pieces[0], Reject)


def test_groups_are_gathered_between_the_shards_and_again_when_lost() -> None:
    shards = [shard_of(index, 2) for index in range(5)]
    work = ShardWork(shards, 3, GroupPlan(range(5), FileLimits(rows=4)))
    done: list[str] = []
    lost: list[str] = []
    while (item := work.take()) is not None:
        if isinstance(item, Gather):
            if item.losses < 2:
                lost.append(item.try_id)
                work.lost(item, "its process died")
                continue
            assert item.try_id not in lost
            done.append(f"gather {item.group.first_index}")
            work.done(item, GroupReport(first_index=0, last_index=1, try_id=item.try_id, files=[]))
            continue
        assert isinstance(item, LabelWhole)
        done.append(f"label {item.shard.index}")
        work.done(item, report_of(item.shard))
    assert work.finished
    # Shard 2 says that 0 and 1 are all that fits into a file; shard 4 stays alone.
    assert done == ["label 0", "label 1", "label 2", "gather 0", "label 3", "label 4", "gather 2"]


def test_a_group_that_keeps_losing_workers_ends_the_run() -> None:
    plan = GroupPlan(range(2), FileLimits())
    for index in range(2):
        plan.add(report_of(shard_of(index, 2)))
    work = ShardWork([], 3, plan)
    with pytest.raises(ClusterError, match="gathering the shards from 0 on lost its worker 5 times"):
        while (item := work.take()) is not None:
            work.lost(item, "its process died")


def test_an_image_alone_may_lose_its_worker_as_often_as_set() -> None:
    work = ShardWork([shard_of(0, 1)], max_tries=3)
    for _ in range(3):
        item = work.take()
        assert not isinstance(item, Assemble)
        assert item is not None
        work.lost(item, "its process died")
    last = work.take()
    assert isinstance(last, Assemble)
    assert isinstance(last.pieces[0], Reject)


def test_a_video_whose_shots_go_on_is_not_given_up() -> None:
    """Each try stores another shot before its worker is lost; only losses without progress count together."""
    work = ShardWork([shard_of(0, 1)], max_tries=3)
    for num_steps in (1, 2, 3, 4, 5, 5, 5):
        item = work.take()
        assert not isinstance(item, Assemble)
        assert item is not None
        work.lost(item, "its process died", num_steps=num_steps)
    last = work.take()
    assert isinstance(last, Assemble)
    (reject,) = last.pieces
    assert isinstance(reject, Reject)
    assert reject.message.startswith("killed its worker 3 times")


def test_writing_that_never_succeeds_ends_the_run() -> None:
    work = ShardWork([shard_of(0, 1)], max_tries=1)
    first = work.take()
    assert first is not None
    work.lost(first, "its process died")
    with pytest.raises(ClusterError, match="5 times: the disk is odd"):
        while (item := work.take()) is not None:
            work.lost(item, "the disk is odd")
