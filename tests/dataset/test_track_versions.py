"""Versions of a dataset with tracks: what each step does to the tables of videos and tracks."""

import json
from pathlib import Path

import pytest
from factories import make_reject, make_shard
from made_up_tracks import Clip, make_clip

from fo1_data.dataset.exports.export import export_dataset
from fo1_data.dataset.layout import TRACKS, VIDEOS
from fo1_data.dataset.manifest import read_manifest
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.replay import keep_version
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.versions.compare import compare_datasets
from fo1_data.dataset.versions.merge import merge_corrections
from fo1_data.dataset.versions.publish import publish
from fo1_data.dataset.versions.remove import find_image, remove_image, remove_video
from fo1_data.dataset.versions.split import split_dataset
from fo1_data.dataset.writer import open_run
from fo1_data.storage.store import open_store
from schemas.corrections import Correction
from schemas.labels import Decision
from schemas.tracks import Track, VideoRow


def write(out: Path, clips: list[Clip]) -> str:
    run = open_run(str(out), {"model_sha256": "aa"}, {})
    for index, clip in enumerate(clips):
        rejects = [make_reject(f"{clip.video.uri}::frame@9")]
        run.write_shard(make_shard(index), clip.rows, rejects, "t", tracks=clip.tracks, videos=[clip.video])
    run.seal("made-up")
    return str(out)


def tables(out: Path | str) -> tuple[list[VideoRow], list[Track]]:
    dataset = open_dataset(str(out))
    assert validate_dataset(str(out)) == []
    return list(dataset.videos()), list(dataset.tracks())


def test_a_step_that_changes_no_track_takes_the_tables_over(tmp_path: Path) -> None:
    clips = [make_clip(0, embed=True), make_clip(1, embed=True)]
    source = write(tmp_path / "d", clips)
    split_dataset(source, str(tmp_path / "e"), {"test": 0.5}, max_distance=-1)
    assert tables(tmp_path / "e") == tables(source)
    for table in (VIDEOS, TRACKS):
        assert (tmp_path / "e" / table).stat().st_ino == (tmp_path / "d" / table).stat().st_ino


def test_a_version_keeps_its_tracks_where_its_next_one_was_begun_beside_it(tmp_path: Path) -> None:
    """A replay that is interrupted leaves its version with tables under other names."""
    clip = make_clip(0, embed=True)
    source = write(tmp_path / "d", [clip])
    before = tables(source)
    store = open_store(source)
    keep_version(store, read_manifest(store))
    assert VIDEOS not in [file.path for file in read_manifest(store).files]
    assert tables(source) == before
    split_dataset(source, str(tmp_path / "split"), {"test": 0.5}, max_distance=-1)
    publish(source, str(tmp_path / "published"))
    caption = Correction(
        image_id=clip.video.video_id, track_id=clip.tracks[0].track_id, action="recaptioned",
        kind="brief_caption", after={"text": "a cup"}, at="2026-11-24T10:00:00Z",
    )  # fmt: skip
    merge_corrections(source, [caption], str(tmp_path / "merged"))
    for name in ("split", "published"):
        assert tables(tmp_path / name) == before
    assert tables(tmp_path / "merged")[1][0].brief_caption == "a cup"
    assert len(tables(tmp_path / "merged")[1]) == len(clip.tracks)


def test_a_removed_keyframe_is_none_of_its_video_and_tracks_any_more(tmp_path: Path) -> None:
    clips = [make_clip(0), make_clip(1)]
    source = write(tmp_path / "d", clips)
    gone = clips[0].rows[0].image_id
    manifest = remove_image(source, gone, str(tmp_path / "e"))
    videos, tracks = tables(tmp_path / "e")
    assert [len(video.keyframes) for video in videos] == [1, 2]
    assert [len(track.keyframes) for track in tracks] == [1, 1, 2, 2]
    assert [track.frames for track in tracks] == [track.frames for clip in clips for track in clip.tracks]
    assert (manifest.counts.images, manifest.counts.tracks) == (3, 4)
    assert gone not in (tmp_path / "e" / "manifest.json").read_text()


@pytest.mark.parametrize("by", ["id", "uri", "name"])
def test_a_video_is_removed_with_its_tracks_and_keyframes(tmp_path: Path, by: str) -> None:
    clips = [make_clip(0), make_clip(1, num_tracks=3)]
    source = write(tmp_path / "d", clips)
    names = {"id": clips[0].video.video_id, "uri": clips[0].video.uri, "name": "000.mp4"}
    found = find_image(source, names[by])
    assert found.keyframes == [row.image_id for row in clips[0].rows]
    manifest = remove_video(source, found, str(tmp_path / "e"))
    assert tables(tmp_path / "e") == ([clips[1].video], clips[1].tracks)
    counts = manifest.counts
    assert (counts.images, counts.videos, counts.tracks, counts.rejected) == (2, 1, 3, 1)
    left = open_dataset(str(tmp_path / "e"))
    assert [row.image_id for row in left.rows()] == [row.image_id for row in clips[1].rows]
    assert [reject.uri for reject in left.rejects()] == [f"{clips[1].video.uri}::frame@9"]


def test_a_dataset_whose_only_video_is_removed_has_no_tables(tmp_path: Path) -> None:
    source = write(tmp_path / "d", [make_clip(0)])
    manifest = remove_video(source, find_image(source, "000.mp4"), str(tmp_path / "e"))
    assert tables(tmp_path / "e") == ([], [])
    assert not {TRACKS, VIDEOS} & {file.path for file in manifest.files}
    assert not (tmp_path / "e" / TRACKS).exists()


def test_published_tracks_travel_along(tmp_path: Path) -> None:
    clips = [make_clip(0, decision=Decision.REVIEW, embed=True)]
    source = write(tmp_path / "d", clips)
    publish(source, str(tmp_path / "e"))
    assert tables(tmp_path / "e") == ([clips[0].video], clips[0].tracks)


def test_of_accepted_tracks_only_those_with_an_accepted_label_are_published(tmp_path: Path) -> None:
    accepted, refused = (
        make_clip(0, decision=Decision.ACCEPT, embed=True),
        make_clip(1, decision=Decision.REVIEW, embed=True),
    )
    doubtful = accepted.tracks[1].labels[0].model_copy(update={"decision": Decision.REVIEW})
    changed = {"labels": [doubtful], "decision": Decision.REVIEW}
    mixed = Clip(
        accepted.video, [accepted.tracks[0], accepted.tracks[1].model_copy(update=changed)], accepted.rows
    )
    source = write(tmp_path / "d", [mixed, refused])
    manifest = publish(source, str(tmp_path / "e"), only_accepted=True).manifest
    assert tables(tmp_path / "e") == ([accepted.video], [accepted.tracks[0]])
    assert (manifest.counts.videos, manifest.counts.tracks) == (1, 1)
    named = [[region.track_id for region in row.regions] for row in open_dataset(str(tmp_path / "e")).rows()]
    assert named == [[accepted.tracks[0].track_id, None]] * 2


def test_coco_has_videos_and_the_numbers_of_tracks(tmp_path: Path) -> None:
    clips = [make_clip(0), make_clip(1)]
    source = write(tmp_path / "d", clips)
    export_dataset(source, "coco", str(tmp_path / "coco"))
    document = json.loads((tmp_path / "coco" / "train.json").read_text())
    assert [(video["id"], video["name"], video["length"]) for video in document["videos"]] == [
        (number, clip.video.uri, 30) for number, clip in enumerate(clips, start=1)
    ]
    assert [(image["video_id"], image["frame_id"]) for image in document["images"]] == [
        (1, 2), (1, 12), (2, 2), (2, 12),
    ]  # fmt: skip
    named = {(one["track_id"], one["track"]) for one in document["annotations"]}
    tracks = [track.track_id for clip in clips for track in clip.tracks]
    assert named == set(enumerate(tracks, start=1))


def test_the_difference_of_two_datasets_names_tracks(tmp_path: Path) -> None:
    clip = make_clip(0, num_tracks=3)
    source = write(tmp_path / "d", [clip])
    first, second, third = clip.tracks
    moved = [*first.boxes_xyxy[:4], (1.0, 1.0, 2.0, 2.0), *first.boxes_xyxy[5:]]
    changed = first.model_copy(update={"brief_caption": "a cup", "boxes_xyxy": moved})
    more = third.model_copy(update={"track_id": f"{third.track_id}x"})
    other = write(tmp_path / "e", [Clip(clip.video, [changed, second, more], clip.rows)])
    found = compare_datasets(source, other)
    assert found.tracks.changed == {
        first.track_id: ["brief caption 'red square' -> 'a cup'", "boxes: 1 moved"]
    }
    assert (found.tracks.only_a, found.tracks.only_b) == ([third.track_id], [more.track_id])
    assert (found.tracks.equal, found.videos.equal, found.equal, found.is_empty) == (1, 1, 2, False)
    assert compare_datasets(source, source).is_empty


def test_keyframes_of_a_video_stay_in_one_split(tmp_path: Path) -> None:
    clips = [make_clip(seed, keyframes=(1, 4, 9, 15)) for seed in range(6)]
    source = write(tmp_path / "d", clips)
    split_dataset(source, str(tmp_path / "e"), {"test": 0.4}, max_distance=-1)
    split_of = {row.image_id: row.split for row in open_dataset(str(tmp_path / "e")).rows()}
    splits = [{split_of[row.image_id] for row in clip.rows} for clip in clips]
    assert [len(of_clip) for of_clip in splits] == [1] * 6
    assert set().union(*splits) == {"train", "test"}
