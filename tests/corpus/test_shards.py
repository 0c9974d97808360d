"""Shards are the same for the same listing, and differ for other listings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fo1_data.corpus.shards import listing_sha256, plan_shards
from schemas.corpus import CorpusImage, CorpusRegion

LISTS = st.lists(st.builds(CorpusImage, uri=st.sampled_from(["/a", "/b", "/c"]), id=st.none() | st.just("1")))


@given(entries=LISTS, size=st.integers(1, 5))
def test_every_entry_once_and_in_order(entries: list[CorpusImage], size: int) -> None:
    shards = plan_shards(iter(entries), size)
    assert [entry for shard in shards for entry in shard.images] == entries
    assert [shard.index for shard in shards] == list(range(len(shards)))
    assert all(len(shard.images) == size for shard in shards[:-1])
    assert len({shard.shard_id for shard in shards}) == len(shards)
    assert plan_shards(entries, size) == shards


@given(entries=LISTS, size=st.integers(1, 5), other_size=st.integers(1, 5))
def test_the_listing_does_not_depend_on_the_shard_size(
    entries: list[CorpusImage], size: int, other_size: int
) -> None:
    assert listing_sha256(plan_shards(entries, size)) == listing_sha256(plan_shards(entries, other_size))


def test_a_corpus_that_grows_keeps_its_shards() -> None:
    entries = [CorpusImage(uri=f"/{number}") for number in range(10)]
    before, after = plan_shards(entries[:8], 4), plan_shards(entries, 4)
    assert [shard.shard_id for shard in before] == [shard.shard_id for shard in after[:2]]


@pytest.mark.parametrize(
    "change",
    [{"uri": "/y"}, {"inner": "x"}, {"caption": "c"}, {"regions": []}, {"width": 3}, {"meta": {"k": 1}}],
)
def test_every_field_of_an_entry_counts(change: dict[str, object]) -> None:
    entry = CorpusImage(uri="/x")
    other = entry.model_copy(update=change)
    (first,), (second,) = plan_shards([entry], 1), plan_shards([other], 1)
    assert first.shard_id != second.shard_id
    assert listing_sha256([first]) != listing_sha256([second])


def test_a_box_of_nan_survives_json() -> None:
    entry = CorpusImage(uri="/x", regions=[CorpusRegion(box_xyxy=(float("nan"), float("inf"), 0, 1))])
    (shard,) = plan_shards([entry], 1)
    again = type(shard).model_validate_json(shard.model_dump_json())
    assert plan_shards(again.images, 1)[0].shard_id == shard.shard_id


def test_a_shard_holds_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        plan_shards([], 0)
