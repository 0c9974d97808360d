"""Shards are the same for the same listing, and differ for other listings."""

import hashlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.corpus.shards import plan_shards
from schemas.corpus import CorpusImage, CorpusRegion

LISTS = st.lists(
    st.builds(
        CorpusImage, uri=st.sampled_from(["/a", "/b", 's3://b/"\\\n\x7fé']), id=st.none() | st.just("1")
    )
)


@settings(deadline=None)
@given(entries=LISTS, size=st.integers(1, 5))
def test_every_entry_once_and_in_order(entries: list[CorpusImage], size: int) -> None:
    shards = plan_shards(iter(entries), size)
    assert [entry for shard in shards for entry in shard.images] == entries
    assert [shard.index for shard in shards] == list(range(len(shards)))
    assert all(len(shard.images) == size for shard in shards[:-1])
    assert len({shard.shard_id for shard in shards}) == len(shards)
    assert list(plan_shards(entries, size)) == list(shards)
    assert list(shards.ids()) == [shard.shard_id for shard in shards]
    assert [shards.num_images(shard.shard_id) for shard in shards] == [len(shard.images) for shard in shards]
    assert shards.num_images("0" * 16) is shards.num_images("no id") is None


@settings(deadline=None)
@given(entries=LISTS, size=st.integers(1, 5), done=st.sets(st.integers(0, 9)))
def test_what_is_left_are_the_shards_that_are_not_done(
    entries: list[CorpusImage], size: int, done: set[int]
) -> None:
    shards = plan_shards(entries, size)
    left = shards.without({shard.shard_id for shard in shards if shard.index in done})
    assert list(left) == [shard for shard in shards if shard.index not in done]
    assert len(left) == len(list(left))


@settings(deadline=None)
@given(entries=LISTS, size=st.integers(1, 5))
def test_ids_are_hashes_of_the_entries_as_json(entries: list[CorpusImage], size: int) -> None:
    def digest(parts: list[str]) -> str:
        data = b"".join(len(part.encode()).to_bytes(8, "big") + part.encode() for part in parts)
        return hashlib.sha256(data).hexdigest()

    documents = [entry.model_dump_json() for entry in entries]
    expected: list[str] = []
    seen: Counter[str] = Counter()
    for start in range(0, len(documents), size):
        shard_id = digest(documents[start : start + size])[:16]
        seen[shard_id] += 1
        expected.append(shard_id if seen[shard_id] == 1 else digest([shard_id, str(seen[shard_id])])[:16])
    shards = plan_shards(entries, size)
    assert list(shards.ids()) == expected
    assert shards.listing_sha256 == digest(documents)


@settings(deadline=None)
@given(entries=LISTS, size=st.integers(1, 5), other_size=st.integers(1, 5))
def test_the_listing_does_not_depend_on_the_shard_size(
    entries: list[CorpusImage], size: int, other_size: int
) -> None:
    assert plan_shards(entries, size).listing_sha256 == plan_shards(entries, other_size).listing_sha256


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
    first, second = plan_shards([entry], 1), plan_shards([other], 1)
    assert list(first.ids()) != list(second.ids())
    assert first.listing_sha256 != second.listing_sha256


def test_a_box_of_nan_survives_json() -> None:
    entry = CorpusImage(uri="/x", regions=[CorpusRegion(box_xyxy=(float("nan"), float("inf"), 0, 1))])
    (shard,) = plan_shards([entry], 1)
    again = type(shard).model_validate_json(shard.model_dump_json())
    assert plan_shards(again.images, 1)[0].shard_id == shard.shard_id


def test_a_shard_holds_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        plan_shards([], 0)
