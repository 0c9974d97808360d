"""Videos that are tracked: one entry each, each a shard, equal ones together."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.corpus.entry_list import EntryList
from fo1_data.corpus.readers import load_listing
from fo1_data.corpus.shards import plan_shards
from fo1_data.corpus.tracked_videos import group_videos, is_tracked
from schemas.corpus import CorpusImage


def test_a_tracked_video_is_one_entry_and_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video at all")
    listing = load_listing(str(tmp_path), frame_every_s=None)
    assert [(entry.inner, is_tracked(entry)) for entry in listing.entries] == [(None, True)]
    assert listing.has_videos
    assert not listing.rejects
    assert not is_tracked(CorpusImage(uri="a.mp4", inner="frame@1.000s"))


def test_what_a_source_says_of_a_whole_video_is_a_reject(tmp_path: Path) -> None:
    (tmp_path / "annotations.jsonl").write_text(
        '{"uri": "a.mp4", "caption": "a day out", "phrases": [{"text": "a dog"}]}\n'
    )
    (tmp_path / "a.mp4").write_bytes(b"clip")
    listing = load_listing(str(tmp_path), frame_every_s=None)
    assert [reject.reason for reject in listing.rejects] == ["labels_of_video"]
    assert listing.entries[0].caption is None
    assert [phrase.text for phrase in listing.entries[0].phrases] == ["a dog"]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(["image", "A", "B", "C"]), max_size=12), st.integers(1, 4))
def test_equal_videos_share_a_shard_and_nothing_else_does(
    tmp_path_factory: object, kinds: list[str], shard_size: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "equal"  # type: ignore[attr-defined]
    folder.mkdir(exist_ok=True)
    entries = []
    for number, kind in enumerate(kinds):
        path = folder / f"{number}{'.png' if kind == 'image' else '.mp4'}"
        path.write_bytes(kind.encode())
        entries.append(CorpusImage(uri=str(path)))
    grouped = group_videos(EntryList(entries))
    assert sorted(entry.uri for entry in grouped.entries) == sorted(entry.uri for entry in entries)
    shards = plan_shards(grouped.entries, shard_size, grouped.group_sizes, grouped.alone)
    seen = set()
    for shard in shards:
        contents = {Path(image.uri).read_bytes() for image in shard.images}
        if any(map(is_tracked, shard.images)):
            assert len(contents) == 1
            assert not contents & seen
            seen |= contents
        else:
            assert len(shard.images) <= shard_size
