"""Equal images in any number of shards, in any arrangement, become one row with every address."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.dataset.done_shards import DoneShards
from fo1_data.dataset.duplicates import Changes, Duplicates, find_duplicates
from fo1_data.dataset.image_ids import ImageIds
from fo1_data.dataset.layout import RUN, marker
from fo1_data.errors import StorageError
from fo1_data.storage.store import open_store
from schemas.dataset import Counts
from schemas.shards import ShardImage, ShardMarker

IDS = [digit * 64 for digit in "0123"]
SHARDS = st.lists(st.lists(st.sampled_from(IDS), unique=True, max_size=4), max_size=5)


def duplicates_of(images: dict[str, list[ShardImage]], before: dict[str, str] | None = None) -> Duplicates:
    """What equal images change in a run whose shards hold `images`, in the order of their indexes."""
    with TemporaryDirectory() as folder:
        for index, (name, of_shard) in enumerate(images.items()):
            done = ShardMarker(
                shard_id=name, index=index, try_id="t", files=[], counts=Counts(), images=of_shard
            )
            path = Path(folder) / marker(RUN, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(done.model_dump_json())
        shards = DoneShards(open_store(folder), RUN)
        shards.update()
        present = shards.among((before or {}).items())
        return find_duplicates(shards.repeated_images(present), present)


@settings(deadline=None)
@given(shards=SHARDS, present=st.sets(st.sampled_from(IDS), max_size=2))
def test_one_row_stays_and_knows_every_address(shards: list[list[str]], present: set[str]) -> None:
    images = {
        f"s{index}": [ShardImage(image_id=i, uris=[f"{index}/{i[0]}", "everywhere"]) for i in ids]
        for index, ids in enumerate(shards)
    }
    before = {i: f"old/{i[0]}" for i in present}
    duplicates = duplicates_of(images, before)
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
    (reject,) = duplicates_of(images).rejects
    assert (reject.uri, reject.reason) == ("3.png", "duplicate_annotations")
    assert "0.png" in reject.message


def test_images_that_share_half_an_id_are_two() -> None:
    alike = ["0" * 16 + "a" * 48, "0" * 16 + "b" * 48]
    images = {f"s{i}": [ShardImage(image_id=alike[i], uris=[f"{i}.png"])] for i in (0, 1)}
    duplicates = duplicates_of(images)
    assert not duplicates.listed
    assert not duplicates.changes


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 20), max_size=6), max_size=30), st.sampled_from([1, 7, 1000]))
def test_ids_on_disk_are_found_as_in_memory(shards: list[list[int]], block_ids: int) -> None:
    def digest(number: int) -> bytes:
        return hashlib.sha256(str(number).encode()).digest()

    ids = ImageIds(block_ids)
    places: dict[int, list[int]] = {}
    for number, of_shard in enumerate(shards):
        ids.add(b"".join(map(digest, of_shard)), number)
        for image in of_shard:
            places.setdefault(int.from_bytes(digest(image)[:8], "big"), []).append(number)
    repeated = {half: sorted(numbers) for half, numbers in ids.repeated()}
    assert repeated == {half: numbers for half, numbers in places.items() if len(numbers) > 1}
    wanted = list(places)[::2]
    assert {half: sorted(n) for half, n in ids.shards_of([*wanted, 5])} == {h: places[h] for h in wanted}


def test_a_copied_marker_is_refused(tmp_path: Path) -> None:
    done = ShardMarker(shard_id="s0", index=0, try_id="t", files=[], counts=Counts(), images=[])
    for name in ("s0", "s0 (copy)"):
        path = tmp_path / marker(RUN, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(done.model_dump_json())
    with pytest.raises(StorageError, match=r"s0 \(copy\).json is of another shard: delete it"):
        DoneShards(open_store(str(tmp_path)), RUN).update()


@pytest.mark.parametrize("text", ["not hex at all, ever", ""])
def test_another_text_is_the_id_of_no_image(tmp_path: Path, text: str) -> None:
    shards = DoneShards(open_store(str(tmp_path)), RUN)
    shards.update()
    assert shards.among([(text, None)]) == {}
