"""Exports of tracks: out and in again they are equal, as far as the form holds them."""

import configparser
import json
from pathlib import Path
from typing import Any

import pytest
from factories import make_row, make_shard
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_tracks import Clip, make_clip
from PIL import Image
from typer.testing import CliRunner

from fo1_data.cli.main import app
from fo1_data.corpus.forms.mot_lines import read_mot_lines
from fo1_data.corpus.forms.track_files import read_track_file
from fo1_data.corpus.forms.track_lines import lines_of
from fo1_data.corpus.forms.video_tracks import ReadVideo
from fo1_data.corpus.forms.youtube_vis import read_youtube_vis
from fo1_data.corpus.readers import load_listing
from fo1_data.dataset.exports.export import export_dataset
from fo1_data.dataset.exports.mot import mot_lines
from fo1_data.dataset.exports.youtube_vis import annotation_of
from fo1_data.dataset.given_videos import given_videos
from fo1_data.dataset.writer import open_run
from fo1_data.errors import DatasetError
from fo1_data.evaluation.tracks import score_tracks
from schemas.corpus import GivenTrack, GivenVideo

NUM_FRAMES = 12
CLIP = make_clip(0)


def write_dataset(out: Path, clips: list[Clip]) -> str:
    dataset = open_run(str(out), {"model_sha256": "aa"}, {})
    for index, clip in enumerate(clips):
        dataset.write_shard(make_shard(index), clip.rows, [], "t", tracks=clip.tracks, videos=[clip.video])
    dataset.seal("made-up")
    return str(out)


def write_clip(folder: Path) -> Clip:
    """A clip that is kept as images."""
    folder.mkdir(parents=True)
    for number in range(30):
        Image.new("RGB", (64, 48), (8 * number, 90, 30)).save(folder / f"{number + 1:06d}.png")
    return make_clip(1, uri=str(folder), uris=[str(folder)])


def are_alike(one: GivenTrack, other: GivenTrack) -> bool:
    """Whether two tracks have the same frames, and boxes to a hundredth of a pixel."""
    pairs = zip(one.boxes_xyxy, other.boxes_xyxy, strict=True)
    return one.frames == other.frames and all(a == pytest.approx(b, abs=0.01) for a, b in pairs)


coordinates = st.floats(-5, 60, width=32)


@st.composite
def tracks(draw: st.DrawFn) -> list[GivenTrack]:
    drawn = []
    for number in range(draw(st.integers(0, 4))):
        frames = sorted(draw(st.sets(st.integers(0, NUM_FRAMES - 1), min_size=1)))
        corners = [(draw(coordinates), draw(coordinates)) for _ in frames]
        sides = [(draw(st.floats(0.5, 50)), draw(st.floats(0.5, 50))) for _ in frames]
        scores: list[float | None] = [0.5] * len(frames)
        drawn.append(
            GivenTrack(
                id=f"t{number}",
                frames=frames,
                boxes_xyxy=[(x, y, x + w, y + h) for (x, y), (w, h) in zip(corners, sides, strict=True)],
                scores=draw(st.none() | st.just(scores)),
                label=draw(st.sampled_from(["dog", "red car", None])),
                caption=draw(st.sampled_from(["a dog", "ein Auto, \u00fcbergro\u00df", None])),
            )
        )
    return drawn


@settings(max_examples=60, deadline=None)
@given(drawn=tracks())
def test_tracks_go_through_mot_challenge(drawn: list[GivenTrack]) -> None:
    names = {1: "dog", 2: "object", 3: "red car"}
    numbers = {name: number for number, name in names.items()}
    lines = [line.encode() for line in mot_lines(drawn, numbers)]
    video = GivenVideo(video="a", num_frames=NUM_FRAMES)
    read = read_mot_lines(lines, "a.txt", video, is_gold=True, class_names=names)
    assert not read.faults
    by_id = {track.id: track for track in read.video.tracks or []}
    assert len(by_id) == len(drawn)
    for number, track in enumerate(drawn, start=1):
        assert are_alike(by_id[str(number)], track)
        assert by_id[str(number)].label == (track.label or "object")


@settings(max_examples=60, deadline=None)
@given(drawn=tracks())
def test_tracks_go_through_youtube_vis(drawn: list[GivenTrack]) -> None:
    video = CLIP.video.model_copy(update={"num_frames": NUM_FRAMES})
    document: dict[str, Any] = {
        "videos": [{"id": 1, "file_names": [f"a/{n}.jpg" for n in range(NUM_FRAMES)], "length": NUM_FRAMES}],
        "annotations": [
            {"id": number, "video_id": 1, **annotation_of(track, video)} for number, track in enumerate(drawn)
        ],
    }
    (read,) = read_youtube_vis(json.loads(json.dumps(document)), "a.json")
    assert isinstance(read, ReadVideo)
    assert not read.faults
    found = read.video.tracks or []
    assert [(t.id, t.caption, t.scores) for t in found] == [(t.id, t.caption, t.scores) for t in drawn]
    assert all(are_alike(one, other) for one, other in zip(found, drawn, strict=True))


@settings(max_examples=60, deadline=None)
@given(drawn=tracks())
def test_tracks_go_through_tracks_jsonl(
    drawn: list[GivenTrack], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("made") / "tracks.jsonl"
    video = GivenVideo(video="a.mp4", width=64, height=48, fps=25, num_frames=NUM_FRAMES, tracks=drawn)
    path.write_bytes(b"".join(lines_of([video])))
    file = read_track_file(str(path), is_gold=True)
    assert file is not None
    assert file.videos == [video]
    assert not file.rejects


@settings(max_examples=30, deadline=None)
@given(drawn=tracks(), shift=st.floats(2, 20))
def test_a_perturbed_prediction_scores_lower(drawn: list[GivenTrack], shift: float) -> None:
    moved = [
        track.model_copy(
            update={"boxes_xyxy": [(a + shift, b, c + shift, d) for a, b, c, d in track.boxes_xyxy]}
        )
        for track in drawn[:1]
    ]
    gold = [GivenVideo(video="a", tracks=drawn[:1])]
    if drawn:
        assert score_tracks(gold, gold)["hota"] == 1.0
        assert score_tracks([GivenVideo(video="a", tracks=moved)], gold)["hota"] < 1.0


def test_a_dataset_is_exported_as_mot_challenge_and_read_back(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clips/yard")
    dataset = write_dataset(tmp_path / "d", [clip])
    written = export_dataset(dataset, "mot", str(tmp_path / "mot"), copy_images=True)
    assert written == {"videos": 1, "tracks": 2, "boxes": 37, "frames": 30, "captions_left_out": 2}
    info = configparser.ConfigParser()
    info.read(tmp_path / "mot/yard/seqinfo.ini")
    assert (info["Sequence"]["seqLength"], info["Sequence"]["frameRate"]) == ("30", "25")
    (entry,) = load_listing(str(tmp_path / "mot"), frame_every_s=None).entries
    assert entry.frame_files is not None
    assert len(entry.frame_files.addresses) == 30
    for found, track in zip(
        entry.tracks or [], given_videos([clip.video], clip.tracks)[0].tracks or [], strict=True
    ):
        assert are_alike(found, track)
        assert found.label == "thing"


@pytest.mark.parametrize("label", ["red\nvan", "\x85red van", "red\u2028van\r\n"])
def test_a_class_of_several_lines_is_one_line_of_mot_challenge(tmp_path: Path, label: str) -> None:
    clip = write_clip(tmp_path / "clips/yard")
    clip.tracks[0].source_label = label
    export_dataset(write_dataset(tmp_path / "d", [clip]), "mot", str(tmp_path / "mot"), copy_images=True)
    (entry,) = load_listing(str(tmp_path / "mot"), frame_every_s=None).entries
    assert [track.label for track in entry.tracks or []] == ["red van", "thing"]


def test_a_dataset_is_exported_as_youtube_vis_and_read_back(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clips/yard")
    dataset = write_dataset(tmp_path / "d", [clip])
    written = export_dataset(dataset, "youtube-vis", str(tmp_path / "vis"), copy_images=True)
    assert written == {"videos": 1, "tracks": 2, "boxes": 37, "frames": 30, "categories": 1}
    listing = load_listing(str(tmp_path / "vis"), frame_every_s=None)
    assert not listing.rejects
    (entry,) = listing.entries
    expected = given_videos([clip.video], clip.tracks)[0].tracks or []
    assert [(t.id, t.caption, t.scores) for t in entry.tracks or []] == [
        (t.id, t.caption, t.scores) for t in expected
    ]
    assert all(are_alike(one, other) for one, other in zip(entry.tracks or [], expected, strict=True))


def test_videos_of_one_name_are_told_apart(tmp_path: Path) -> None:
    clips = [make_clip(seed, uri=f"memory://{seed}/a.mp4") for seed in range(2)]
    export_dataset(write_dataset(tmp_path / "d", clips), "mot", str(tmp_path / "mot"))
    names = sorted(path.name for path in (tmp_path / "mot").iterdir())
    assert names == ["a", f"a-{clips[1].video.video_id[:8]}"]


@pytest.mark.parametrize("form", ["mot", "youtube-vis"])
def test_a_dataset_without_videos_is_refused(tmp_path: Path, form: str) -> None:
    dataset = open_run(str(tmp_path / "d"), {"model_sha256": "aa"}, {})
    dataset.write_shard(make_shard(0), [make_row(1)], [], "t")
    dataset.seal("made-up")
    with pytest.raises(DatasetError, match="--tracker"):
        export_dataset(str(tmp_path / "d"), form, str(tmp_path / "out"))


def test_frames_that_are_not_there_are_told_in_one_line(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "yard")
    dataset = write_dataset(tmp_path / "d", [clip])
    (tmp_path / "yard/000030.png").unlink()
    with pytest.raises(DatasetError, match="it has 29, not 30"):
        export_dataset(dataset, "mot", str(tmp_path / "mot"), copy_images=True)


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", [CLIP])
    arguments = ["dataset", "export", dataset, "--format", "mot", "--out", str(tmp_path / "mot"), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert json.loads(result.stdout)["captions_left_out"] == 2
    assert "mot holds no captions: those of 2 tracks are left out" in result.stderr
