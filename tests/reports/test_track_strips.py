"""Tracks on the report page: which are shown, their pictures, times and what is said of them."""

import base64
import io
import json
import re
from pathlib import Path

import pytest
from factories import make_shard
from made_up_tracks import Clip, agreed_label, make_clip
from PIL import Image

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.reader import Dataset, open_dataset
from fo1_data.dataset.writer import open_run
from fo1_data.reports.page import write_report
from fo1_data.reports.track_strips import clock, track_strips
from schemas.labels import Decision
from schemas.tracks import TRACK_DISAGREES, Track


def write(out: Path, clips: list[Clip]) -> Dataset:
    run = open_run(str(out), {"model_sha256": "aa"}, {})
    for index, clip in enumerate(clips):
        run.write_shard(make_shard(index), clip.rows, [], "t", tracks=clip.tracks, videos=[clip.video])
    run.seal("made-up")
    return open_dataset(str(out))


def doubtful(track: Track, share: float, **changes: object) -> Track:
    label = agreed_label("a thing", share=share).model_copy(update=changes)
    return track.model_copy(update={"labels": [label], "decision": label.decision})


def test_the_most_doubtful_tracks_are_shown_first(tmp_path: Path) -> None:
    clip = make_clip(0, num_tracks=4, embed=True)
    sure, half, review, split = clip.tracks
    tracks = [
        sure, doubtful(half, 0.5), doubtful(review, 0.9, decision=Decision.REVIEW),
        doubtful(split, 0.3, reasons=[TRACK_DISAGREES]),
    ]  # fmt: skip
    dataset = write(tmp_path / "d", [Clip(clip.video, tracks, clip.rows)])
    strips = track_strips(dataset, InputLimits(), 3)
    assert [strip.track.track_id for strip in strips] == [
        split.track_id, review.track_id, half.track_id,
    ]  # fmt: skip
    assert [strip.agreement for strip in strips] == pytest.approx([0.3, 0.9, 0.5])
    assert [strip.disagrees for strip in strips] == [True, False, False]


def test_a_strip_shows_the_thing_in_each_keyframe(tmp_path: Path) -> None:
    clip = make_clip(0, embed=True)
    strip = track_strips(write(tmp_path / "d", [clip]), InputLimits())[0]
    assert (strip.caption, strip.video, strip.span, strip.num_frames) == (
        "red square", "000.mp4", "0:00.0 – 0:00.8", 20,
    )  # fmt: skip
    assert [(crop.frame, crop.time) for crop in strip.crops] == [(2, "0:00.1"), (12, "0:00.5")]
    for crop in strip.crops:
        assert crop.picture is not None
        picture = Image.open(io.BytesIO(base64.b64decode(crop.picture.partition(",")[2])))
        red, green, blue = picture.getpixel((picture.width // 2, picture.height // 2))  # type: ignore[misc]
        assert red > 200 > 60 > max(green, blue)


def test_a_keyframe_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    strips = track_strips(write(tmp_path / "d", [make_clip(0)]), InputLimits())
    assert [crop.picture for strip in strips for crop in strip.crops] == [None] * 4


def test_times_are_for_people() -> None:
    assert [clock(time) for time in (0, 9.96, 61.25, 3723.5)] == ["0:00.0", "0:10.0", "1:01.2", "1:02:03.5"]


def test_the_page_has_a_section_of_tracks_only_where_there_are_some(tmp_path: Path) -> None:
    clip = make_clip(0, embed=True)
    write(tmp_path / "d", [clip])
    write_report(str(tmp_path / "d"), str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text()
    assert re.findall(r'data-track="([^"]+)"', page) == [track.track_id for track in clip.tracks]
    assert "2 of 2 in 1 video" in page
    write(tmp_path / "e", [Clip(clip.video, [], clip.rows)])
    write_report(str(tmp_path / "e"), str(tmp_path / "none.html"))
    assert 'id="tracks"' not in (tmp_path / "none.html").read_text()
    assert json.loads((tmp_path / "d" / "manifest.json").read_text())["counts"]["tracks"] == 2
