"""Shards are the same for the same listing, and tell listings apart."""

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


@given(entries=LISTS, one=st.integers(1, 5), other=st.integers(1, 5))
def test_the_listing_does_not_depend_on_the_cut(entries: list[CorpusImage], one: int, other: int) -> None:
    assert listing_sha256(plan_shards(entries, one)) == listing_sha256(plan_shards(entries, other))


def test_a_corpus_that_grows_keeps_its_shards() -> None:
    entries = [CorpusImage(uri=f"/{number}") for number in range(10)]
    before, after = plan_shards(entries[:8], 4), plan_shards(entries, 4)
    assert [shard.shard_id for shard in before] == [shard.shard_id for shard in after[:2]]


@pytest.mark.parametrize(
    "change",
    [{"uri": "/y"}, {"inner": "x"}, {"caption": "c"}, {"regions": []}, {"width": 3}, {"meta": {"k": 1}}],
)
def test_all_that_an_entry_says_counts(change: dict[str, object]) -> None:
    entry = CorpusImage(uri="/x")
    other = entry.model_copy(update=change)
    (one,), (two,) = plan_shards([entry], 1), plan_shards([other], 1)
    assert one.shard_id != two.shard_id
    assert listing_sha256([one]) != listing_sha256([two])


def test_a_box_that_is_no_number_comes_back_as_one() -> None:
    entry = CorpusImage(uri="/x", regions=[CorpusRegion(box_xyxy=(float("nan"), float("inf"), 0, 1))])
    (shard,) = plan_shards([entry], 1)
    again = type(shard).model_validate_json(shard.model_dump_json())
    assert plan_shards(again.images, 1)[0].shard_id == shard.shard_id


def test_a_shard_holds_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        plan_shards([], 0)
