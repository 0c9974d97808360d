"""Equal images in any number of shards, in any arrangement, become one row with every address."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.dataset.done_shards import DoneShard, shard_to_done
from fo1_data.dataset.duplicates import Changes, find_duplicates
from schemas.dataset import Counts, ShardImage, ShardMarker

IDS = [digit * 64 for digit in "0123"]
SHARDS = st.lists(st.lists(st.sampled_from(IDS), unique=True, max_size=4), max_size=5)


def done(images: dict[str, list[ShardImage]]) -> list[DoneShard]:
    return [
        shard_to_done(
            ShardMarker(shard_id=name, index=index, try_id="t", files=[], counts=Counts(), images=of_shard)
        )
        for index, (name, of_shard) in enumerate(images.items())
    ]


@settings(deadline=None)
@given(shards=SHARDS, present=st.sets(st.sampled_from(IDS), max_size=2))
def test_one_row_stays_and_knows_every_address(shards: list[list[str]], present: set[str]) -> None:
    images = {
        f"s{index}": [ShardImage(image_id=i, uris=[f"{index}/{i[0]}", "everywhere"]) for i in ids]
        for index, ids in enumerate(shards)
    }
    before = {i: f"old/{i[0]}" for i in present}
    duplicates = find_duplicates(done(images), images.__getitem__, before)
    changes, listed = duplicates.changes, duplicates.listed

    rows: dict[str, list[str]] = {}
    for shard_id, of_shard in images.items():
        change = changes.get(shard_id, Changes())
        for image in of_shard:
            if image.image_id not in change.drop:
                assert image.image_id not in rows
                rows[image.image_id] = [*image.uris, *change.more_uris.get(image.image_id, [])]
    found = {i for ids in shards for i in ids}
    assert set(rows) == found - present
    for image_id, uris in rows.items():
        places = [index for index, ids in enumerate(shards) if image_id in ids]
        assert uris[0] == f"{places[0]}/{image_id[0]}"
        assert {uri for uri in uris if uri != "everywhere"} == {f"{p}/{image_id[0]}" for p in places}
    assert {entry.image_id for entry in listed} == found
    for entry in listed:
        assert entry.kept not in entry.dropped
        assert (entry.kept == before.get(entry.image_id)) == (entry.image_id in present)


def test_other_annotations_in_a_later_shard_are_a_reject() -> None:
    """Equal annotations, and none, are no loss."""
    digests = ["one", "one", None, "two"]
    images = {
        f"s{index}": [ShardImage(image_id=IDS[0], uris=[f"{index}.png"], annotations_sha256=digest)]
        for index, digest in enumerate(digests)
    }
    (reject,) = find_duplicates(done(images), images.__getitem__).rejects
    assert (reject.uri, reject.reason) == ("3.png", "duplicate_annotations")
    assert "0.png" in reject.message
