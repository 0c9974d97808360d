"""Whatever work is lost, it ends, and every image is settled exactly once."""

from collections import Counter

import pytest
from factories import make_shard
from hypothesis import given
from hypothesis import strategies as st

from fo1_data.errors import ClusterError
from fo1_data.runs.shard_work import Assemble, LabelPiece, LabelWhole, ShardWork
from schemas.corpus import Shard
from schemas.images import Reject, RejectStage


def shard_of(index: int, size: int) -> Shard:
    return make_shard(index, [f"memory://{index}/{place}.png" for place in range(size)])


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


def test_writing_that_never_succeeds_ends_the_run() -> None:
    work = ShardWork([shard_of(0, 1)], max_tries=1)
    first = work.take()
    assert first is not None
    work.lost(first, "its process died")
    with pytest.raises(ClusterError, match="5 times: the disk is odd"):
        while (item := work.take()) is not None:
            work.lost(item, "the disk is odd")
