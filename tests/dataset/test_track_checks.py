"""`fo1 dataset validate` of videos and tracks: what is sound, and each thing that can be wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from factories import make_shard
from made_up_tracks import Clip, make_clip

from fo1_data.dataset.layout import TRACKS
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.writer import open_run
from schemas.labels import Decision, Source
from schemas.tracks import Keyframe, Shot, Track

CLIP = make_clip(0)
ID = CLIP.tracks[0].track_id


def problems(out: Path, clip: Clip, config: dict[str, Any] | None = None) -> list[str]:
    run = open_run(str(out), {"model_sha256": "aa"}, config or {})
    run.write_shard(make_shard(), clip.rows, [], "t", tracks=clip.tracks, videos=[clip.video])
    run.seal("made-up")
    return validate_dataset(str(out))


def with_track(**changes: Any) -> Clip:
    """The clip with changes to its first track."""
    return Clip(CLIP.video, [CLIP.tracks[0].model_copy(update=changes), CLIP.tracks[1]], CLIP.rows)


def with_video(**changes: Any) -> Clip:
    return Clip(CLIP.video.model_copy(update=changes), CLIP.tracks, CLIP.rows)


def with_boxes(change: Callable[[list[Any]], None]) -> Clip:
    boxes = list(CLIP.tracks[0].boxes_xyxy)
    change(boxes)
    return with_track(boxes_xyxy=boxes)


FRAMES = CLIP.tracks[0].frames
MANY = Keyframe(frame=12, time_s=0.5, image_id="ff" * 32)


@pytest.mark.parametrize(
    ("clip", "said"),
    [
        (with_track(video_id="ff" * 32), "its video is not there"),
        (with_track(times_s=[0.0]), "lists differ in length: 20 frames, 1 times_s, 20 boxes_xyxy, 20 scores"),
        (
            with_track(frames=[], times_s=[], boxes_xyxy=[], scores=[], keyframes=[]),
            f"{ID}: it has no frame",
        ),
        (with_track(frames=[1, 0, *FRAMES[2:]], first_frame=1), "its frames do not ascend"),
        (with_track(times_s=[1.0, 0.0] * 10), "its times do not ascend"),
        (with_track(first_frame=1), "first_frame or last_frame is not that of its frames"),
        (with_track(frames=[*FRAMES[:-1], 99], last_frame=99), "frames that its video does not have"),
        (with_track(shot=1), "it is not within its shot"),
        (with_track(scores=[2.0] * 20), "its scores are not within 0 and 1"),
        (with_track(gaps=[Shot(first_frame=3, last_frame=4)]), "its gaps are not those between its frames"),
        (with_track(decision=Decision.REVIEW), "its decision is not the strictest of its labels'"),
        (with_track(keyframes=[MANY]), "keyframe 12 is image ffffffffffffffff, which is no row"),
        (
            with_track(keyframes=[MANY.model_copy(update={"frame": 25})]),
            "keyframe 25 is none of its frames",
        ),
        (with_track(track_id="else/t0-9"), f"a region names track {ID!r}, which is not there"),
        (with_boxes(lambda boxes: boxes.__setitem__(2, (1.0, 1.0, 2.0, 2.0))), "in the track [1.0, 1.0,"),
        (with_boxes(lambda boxes: boxes.__setitem__(4, (4.0, 1.0, 4.0, 2.0))), "boxes without an area"),
        (with_boxes(lambda boxes: boxes.__setitem__(4, (1.0, 1.0, 99.0, 2.0))), "boxes outside the frame"),
        (with_boxes(lambda boxes: boxes.__setitem__(4, (float("nan"),) * 4)), "boxes that are not finite"),
        (with_video(uris=[]), "uri is not the first of uris"),
        (with_video(width=0), "no frame: 0 x 48"),
        (with_video(shots=CLIP.video.shots[::-1]), "is not behind the last one"),
        (with_video(keyframes=CLIP.video.keyframes[::-1]), "its keyframes do not ascend"),
        (with_video(keyframes=[MANY]), "which is no row"),
        (
            Clip(CLIP.video, CLIP.tracks, CLIP.rows[:1]),
            f"keyframe 12 is image {CLIP.rows[1].image_id[:16]}, which is no row",
        ),
    ],
)
def test_each_problem_is_said(tmp_path: Path, clip: Clip, said: str) -> None:
    found = problems(tmp_path / "d", clip)
    assert any(said in line for line in found), found


def test_two_regions_of_one_track_in_a_row_are_a_problem(tmp_path: Path) -> None:
    row = CLIP.rows[0]
    twins = [region.model_copy(update={"track_id": ID}) for region in row.regions]
    rows = [row.model_copy(update={"regions": twins}), CLIP.rows[1]]
    found = problems(tmp_path / "d", Clip(CLIP.video, CLIP.tracks, rows))
    assert f"image {row.image_id[:16]}: 2 regions are of track {ID!r}" in found


@pytest.mark.parametrize(
    ("clip", "config"),
    [
        (CLIP, {}),
        (with_track(keyframes=[]), {}),
        (
            with_track(
                box_source=Source.CORPUS,
                boxes_xyxy=[(-5.0, *CLIP.tracks[0].boxes_xyxy[0][1:]), *CLIP.tracks[0].boxes_xyxy[1:]],
            ),
            {},
        ),
    ],
)
def test_what_is_sound_has_no_problem(tmp_path: Path, clip: Clip, config: dict[str, Any]) -> None:
    assert problems(tmp_path / "d", clip, config) == []


def every_second(track: Track) -> Track:
    """A track for which every second frame was looked at, without frames 6 and 8."""
    seen = [place for place, frame in enumerate(track.frames) if frame % 2 == 0 and frame not in (6, 8)]
    lists = {
        name: [getattr(track, name)[place] for place in seen]
        for name in ("frames", "times_s", "boxes_xyxy", "scores")
    }
    gap = Shot(first_frame=5, last_frame=9)
    return track.model_copy(update={**lists, "gaps": [gap], "last_frame": lists["frames"][-1]})


def test_gaps_are_counted_in_steps_of_the_tracking(tmp_path: Path) -> None:
    clip = Clip(CLIP.video, list(map(every_second, CLIP.tracks)), CLIP.rows)
    assert problems(tmp_path / "d", clip, {"track_every": 2}) == []
    assert any("gaps" in line for line in problems(tmp_path / "e", clip))


def test_a_table_with_other_columns_is_said_to_be_unreadable(tmp_path: Path) -> None:
    problems(tmp_path / "d", CLIP)
    pq.write_table(pa.table({"track_id": ["a", "b"]}), tmp_path / "d" / TRACKS)
    found = validate_dataset(str(tmp_path / "d"))
    assert any("tracks.parquet: cannot be checked: column video_id is missing" in line for line in found)
