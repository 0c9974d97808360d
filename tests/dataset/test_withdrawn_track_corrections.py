"""Corrections of tracks that are withdrawn, and tracks that come to videos or go: each stays in its place."""

from pathlib import Path

import pytest
from made_up_tracks import Clip, make_clip
from track_merges import AT, CLIP, FIRST, OTHER, SECOND, VIDEO, Merges, box_in, caption, of_row, say, write

from fo1_data.confidence.route_dataset import route_dataset
from fo1_data.dataset.given_videos import iterate_videos
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.versions.compare import compare_datasets
from fo1_data.dataset.versions.merge import merge_corrections
from fo1_data.dataset.versions.remove import remove_image
from schemas.calibration import RoutingSettings


@pytest.fixture
def merges(tmp_path: Path) -> Merges:
    return Merges(tmp_path)


def without_tracks(clip: Clip) -> Clip:
    rows = [
        row.model_copy(
            update={"regions": [part.model_copy(update={"track_id": None}) for part in row.regions]}
        )
        for row in clip.rows
    ]
    return Clip(clip.video, [], rows)


def test_the_first_track_of_a_video_stands_where_the_video_does(tmp_path: Path) -> None:
    """Exports read videos and tracks side by side."""
    third = make_clip(2)
    clips = [make_clip(0), without_tracks(make_clip(1)), third]
    source = write(tmp_path / "v0", clips)
    video_id = clips[1].video.video_id
    drawn = say(
        "added", f"{video_id[:16]}/p1", image_id=video_id, frame=22, after={"box_xyxy": [1, 30, 9, 45]}
    )
    merge_corrections(source, [drawn], str(tmp_path / "v1"))
    given = [len(video.tracks or []) for _, video in iterate_videos(open_dataset(str(tmp_path / "v1")))]
    assert given == [2, 1, 2]
    last = say("added", f"{third.video.video_id[:16]}/p1", image_id=third.video.video_id, frame=22,
               after={"box_xyxy": [1, 30, 9, 45]})  # fmt: skip
    bare = write(tmp_path / "bare", [clips[0], clips[1], without_tracks(third)])
    merge_corrections(bare, [last, drawn], str(tmp_path / "both"))
    given = [len(video.tracks or []) for _, video in iterate_videos(open_dataset(str(tmp_path / "both")))]
    assert given == [2, 1, 1]


def test_the_last_tracks_of_a_dataset_come_back_when_their_deletion_is_withdrawn(tmp_path: Path) -> None:
    source = write(tmp_path / "v0", [CLIP])
    gone = [say("deleted", name, annotation_key=f"review/{name[-1]}") for name in (FIRST, SECOND)]
    merge_corrections(source, gone, str(tmp_path / "v1"))
    assert list(open_dataset(str(tmp_path / "v1")).tracks()) == []
    merge_corrections(str(tmp_path / "v1"), [], str(tmp_path / "v2"), reviews=["review"])
    assert compare_datasets(source, str(tmp_path / "v2")).is_empty
    drawn = say("added", f"{VIDEO[:16]}/p1", frame=22, after={"box_xyxy": [1, 30, 9, 45]})
    merge_corrections(str(tmp_path / "v1"), [drawn], str(tmp_path / "v3"))
    assert len(list(open_dataset(str(tmp_path / "v3")).tracks())) == 1


def test_rows_that_only_their_tracks_changed_are_as_they_were_after_merges_of_other_things(
    merges: Merges,
) -> None:
    before = merges.address
    merges.merge(say("deleted", annotation_key="review/1"))
    assert [len(row.regions) for row in merges.rows()] == [1, 1]
    other = OTHER.rows[0]
    merges.merge(of_row(other, "deleted", region_id=other.regions[0].region_id, annotation_key="review/2"))
    merges.merge(reviews=["review"])
    assert compare_datasets(before, merges.address).is_empty


def test_a_track_comes_back_to_keyframes_where_the_deletion_of_its_region_is_withdrawn(
    tmp_path: Path,
) -> None:
    clip = make_clip(0, num_tracks=1)
    source = write(tmp_path / "v0", [clip])
    gone = [
        of_row(row, "deleted", region_id=row.regions[0].region_id, annotation_key=f"review/{row.image_id}")
        for row in clip.rows
    ]
    merge_corrections(source, gone, str(tmp_path / "v1"))
    assert [track.keyframes for track in open_dataset(str(tmp_path / "v1")).tracks()] == [[]]
    merge_corrections(str(tmp_path / "v1"), [], str(tmp_path / "v2"), reviews=["review"])
    assert compare_datasets(source, str(tmp_path / "v2")).is_empty


def test_what_a_review_no_longer_says_is_undone(merges: Merges) -> None:
    before = merges.address
    key = {"annotation_key": "review/1", "as_of": AT}
    merges.merge(say("split", frame=10, **key), say("deleted", SECOND, **key), caption("a cup", **key))
    merges.merge(reviews=["review"])
    assert merges.tracks() == [*CLIP.tracks, *OTHER.tracks]
    assert compare_datasets(before, merges.address).is_empty


def test_what_is_undone_after_routing_leaves_the_routed_rows_and_tracks(
    merges: Merges, tmp_path: Path
) -> None:
    settings, key = RoutingSettings(audit=0.001), {"annotation_key": "review/1", "as_of": AT}
    untouched = str(tmp_path / "untouched")
    route_dataset(merges.address, untouched, settings)
    merges.merge(
        box_in(2, 5, 3, 16, 11, **key), say("split", SECOND, frame=10, **key), caption("a cup", **key)
    )
    route_dataset(merges.address, str(tmp_path / "routed"), settings)
    merges.address = str(tmp_path / "routed")
    merges.merge(reviews=["review"])
    rows = {row.image_id: row for row in open_dataset(untouched).rows()}
    for row in merges.rows():
        assert [region.box_xyxy for region in row.regions] == [
            region.box_xyxy for region in rows[row.image_id].regions
        ]
        assert [region.brief_caption for region in row.regions] == ["red square", "green circle"]
        assert [region.track_id for region in row.regions] == [FIRST, SECOND]
    assert [track.frames for track in merges.tracks()] == [
        track.frames for track in [*CLIP.tracks, *OTHER.tracks]
    ]
    assert merges.track().boxes_xyxy == CLIP.tracks[0].boxes_xyxy


def test_a_removed_keyframe_does_not_come_back_with_a_later_merge(merges: Merges, tmp_path: Path) -> None:
    merges.merge(caption("a cup"))
    remove_image(merges.address, CLIP.rows[0].image_id, str(tmp_path / "without"))
    merges.address = str(tmp_path / "without")
    merges.merge(caption("a mug", at="2027-01-01"))
    assert [keyframe.frame for keyframe in merges.track().keyframes] == [12]
