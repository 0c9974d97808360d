"""Which shards take much longer than others did."""

from factories import make_shard

from fo1_data.runs.shard_work import LabelPiece, LabelWhole
from fo1_data.runs.work_times import OVERDUE_FACTOR, WorkTimes


def whole(num_images: int, suffix: str = "", *, alone: bool = False) -> LabelWhole:
    return LabelWhole(make_shard(0, [f"memory://{i}.png{suffix}" for i in range(num_images)]), "t", alone)


def test_a_shard_is_compared_by_its_time_an_image() -> None:
    times = WorkTimes()
    for num_images, seconds in ((4, 40.0), (2, 20.0), (8, 80.0)):
        assert not times.is_overdue(whole(1), 1e6)  # nothing to compare with yet
        times.add(whole(num_images), seconds)
    usual_s = 3 * 10.0
    assert not times.is_overdue(whole(3), OVERDUE_FACTOR * usual_s)
    assert times.is_overdue(whole(3), OVERDUE_FACTOR * usual_s + 1)


def test_one_slow_shard_does_not_change_what_is_usual() -> None:
    times = WorkTimes()
    for seconds in (10.0, 10.0, 10.0, 1000.0):
        times.add(whole(1), seconds)
    assert times.is_overdue(whole(1), 21.0)


def test_fast_shards_get_a_few_seconds() -> None:
    times = WorkTimes()
    for _ in range(5):
        times.add(whole(1), 0.01)
    assert not times.is_overdue(whole(1), 4.0)
    assert times.is_overdue(whole(1), 6.0)


def test_pieces_and_shards_under_suspicion_are_not_compared() -> None:
    times = WorkTimes()
    shard = whole(4).shard
    for _ in range(5):
        times.add(LabelPiece(shard, "t", 0, 2), 1000.0)
        times.add(whole(4, alone=True), 1000.0)
        times.add(whole(4), 1.0)
    assert not times.is_overdue(LabelPiece(shard, "t", 0, 2), 1e6)
    assert not times.is_overdue(whole(4, alone=True), 1e6)
    assert times.is_overdue(whole(4), 10.0)
