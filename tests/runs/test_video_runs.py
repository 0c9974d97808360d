"""Runs over videos: one caption a track, one shard a video, and nothing lost or doubled by a kill."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from fo1_data.cli.progress_lines import figures
from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.versions.merge import merge_corrections
from fo1_data.errors import StorageError
from fo1_data.masks import mask_area
from fo1_data.runs.in_process import run_in_process
from fo1_data.runs.watcher import Unwatched
from schemas.corpus import CorpusImage
from schemas.corrections import Correction
from schemas.dataset import Manifest
from schemas.jobs import RunConfig
from schemas.progress import RunProgress
from schemas.regions import MaskRle

sys.path.insert(0, str(Path(__file__).parent))
from square_labeller import FACTORY

av = pytest.importorskip("av")

RUN = """
import sys
sys.path.insert(0, sys.argv[1])
from fo1_data.runs.in_process import run_in_process
from schemas.jobs import RunConfig
run_in_process(RunConfig.model_validate_json(sys.argv[2]), None, "square_labeller:SquareLabeller")
"""
WH, SIDE, FPS = (160, 96), 16, 10
SHOT_FRAMES, NUM_SHOTS = 16, 3
COLOURS = ((230, 20, 20), (20, 230, 20), (20, 20, 230))


def places(shot: int, frame: int) -> list[tuple[int, int]]:
    """Where the two squares of a shot are: one goes right, one goes down after it has appeared."""
    moving = [(10 + 5 * frame, 10 + 20 * shot)]
    return moving if frame < 4 else [*moving, (120, 10 + 4 * frame)]


def draw(shot: int, frame: int) -> np.ndarray:
    pixels = np.full((WH[1], WH[0], 3), 20 * shot, np.uint8)
    pixels[:, :: 4 + shot] = 60 - 20 * shot
    for number, (x, y) in enumerate(places(shot, frame)):
        pixels[y : y + SIDE, x : x + SIDE] = COLOURS[(shot + number) % 3]
    return pixels


def write_clip(path: Path, num_shots: int = NUM_SHOTS) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=FPS, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = *WH, "rgb24"
        for shot in range(num_shots):
            for frame in range(SHOT_FRAMES):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(shot, frame), "rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mkv")


def config_of(corpus: Path, out: Path, **settings: Any) -> RunConfig:
    given = {"tracker": "bytetrack", "labels": "brief_caption", "embed_images": False}
    return RunConfig.model_validate({"corpus": str(corpus), "out": str(out), **given, **settings})


def killed_run(config: RunConfig) -> None:
    """A run of its own process, which is killed after its first shot."""
    killed = subprocess.run(
        [
            sys.executable,
            "-c",
            RUN,
            str(Path(__file__).parent),
            config.model_dump_json(exclude_defaults=True),
        ],
        env={**os.environ, "VIDEO_KILL_AT": "2"},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[RunConfig], Manifest]:
    monkeypatch.setenv("VIDEO_LOG", str(tmp_path / "log"))
    return lambda config: run_in_process(config, None, FACTORY)


def table(out: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a table without the time of labelling."""
    rows = pq.read_table(out / f"{name}.parquet").to_pylist()
    for row in rows:
        row.pop("provenance", None)
    return rows


def rows_of(out: Path) -> list[dict[str, Any]]:
    files = open_dataset(str(out)).data_files()
    return sorted(
        (row for file in files for row in pq.read_table(out / file.path).to_pylist()),
        key=lambda row: row["uri"],
    )


@pytest.fixture(scope="module")
def sam3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What tells that a checkpoint is SAM 3 with its tracker; the labeller of squares loads no weights."""
    folder = tmp_path_factory.mktemp("sam3")
    (folder / "config.json").write_text('{"model_type": "sam3_video"}')
    return folder


@pytest.fixture(params=["bytetrack", "sam3"])
def followed(request: pytest.FixtureRequest, sam3: Path) -> dict[str, Any]:
    """Settings by which the things of a video are followed; the second by what the checkpoint is."""
    return {"tracker": None, "proposals": str(sam3)} if request.param == "sam3" else {}


def test_things_are_followed_through_each_shot_and_captioned_once(
    clip: Path, tmp_path: Path, run: Callable[[RunConfig], Manifest], followed: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    manifest = run(config_of(clip, out, **followed))
    assert (manifest.counts.videos, manifest.counts.tracks) == (1, 2 * NUM_SHOTS)
    assert not list(open_dataset(str(out)).rejects())
    (video,) = table(out, "videos")
    assert [(shot["first_frame"], shot["last_frame"]) for shot in video["shots"]] == [
        (SHOT_FRAMES * shot, SHOT_FRAMES * (shot + 1) - 1) for shot in range(NUM_SHOTS)
    ]
    rows = {row["image_id"]: row for row in rows_of(out)}
    for track in table(out, "tracks"):
        shot, number = track["shot"], int(track["track_id"].rpartition("-")[2])
        start = SHOT_FRAMES * shot
        expected = [f for f in range(SHOT_FRAMES) if len(places(shot, f)) > number]
        assert track["frames"] == [start + frame for frame in expected]
        corners = [_box(box)[:2] for box in track["boxes_xyxy"]]
        assert np.allclose(corners, [places(shot, frame)[number] for frame in expected], atol=1e-3)
        assert track["brief_caption"] == ("red", "green", "blue")[(shot + number) % 3]
        signals = {signal["name"]: signal["value"] for signal in track["labels"][0]["signals"]}
        assert signals["track_agreement"] == 1
        assert 1 <= signals["track_keyframes"] <= min(3, len(track["keyframes"]))
        assert (track["box_source"], track["source_label"]) == ("model", "square")
        for keyframe in track["keyframes"]:
            row = rows[keyframe["image_id"]]
            assert track["track_id"] in [region["track_id"] for region in row["regions"]]
            assert {region["box_source"] for region in row["regions"]} == {"model"}
            for region in row["regions"]:
                assert (region["mask_rle"] is not None) == bool(followed)
                if followed:
                    assert mask_area(MaskRle.model_validate(region["mask_rle"])) == SIDE * SIDE
    assert len(rows) < SHOT_FRAMES * NUM_SHOTS / 3


def _box(box: Any) -> list[float]:
    return list(box.values()) if isinstance(box, dict) else list(box)


def test_a_keyframe_is_a_row_that_its_address_alone_reads_again(
    clip: Path, tmp_path: Path, run: Callable[[RunConfig], Manifest]
) -> None:
    run(config_of(clip, tmp_path / "out"))
    for row in rows_of(tmp_path / "out"):
        uri, _, inner = row["uri"].partition("::")
        data = read_bytes(CorpusImage(uri=uri, inner=inner), InputLimits())
        assert sha256(data).hexdigest() == row["image_id"]
    assert validate_dataset(str(tmp_path / "out")) == []


def test_a_run_that_is_killed_between_shots_goes_on_at_the_next_one(
    clip: Path,
    tmp_path: Path,
    run: Callable[[RunConfig], Manifest],
    monkeypatch: pytest.MonkeyPatch,
    followed: dict[str, Any],
) -> None:
    killed_run(config_of(clip, tmp_path / "out", **followed))
    before = (tmp_path / "log").read_text().splitlines()
    run(config_of(clip, tmp_path / "out", **followed))
    labelled = (tmp_path / "log").read_text().splitlines()
    assert before
    assert len(set(labelled)) == len(labelled), "a keyframe was labelled twice"
    monkeypatch.setenv("VIDEO_LOG", str(tmp_path / "whole.log"))
    run(config_of(clip, tmp_path / "whole", **followed))
    assert labelled == (tmp_path / "whole.log").read_text().splitlines()
    for name in ("tracks", "videos"):
        assert table(tmp_path / "out", name) == table(tmp_path / "whole", name)
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "whole")
    assert not list((tmp_path / "out" / ".run").glob("videos/*/*"))


@pytest.mark.parametrize("place", [0.1, 0.6, 0.95])
def test_a_shot_whose_stored_file_is_damaged_is_labelled_again(
    place: float,
    clip: Path,
    tmp_path: Path,
    run: Callable[[RunConfig], Manifest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed_run(config_of(clip, tmp_path / "out"))
    [stored] = (path for path in (tmp_path / "out/.run/videos").rglob("*") if path.is_file())
    content = bytearray(stored.read_bytes())
    content[int(len(content) * place)] ^= 0x10
    stored.write_bytes(content)
    with pytest.raises(StorageError, match="was damaged and is deleted: run again"):
        run(config_of(clip, tmp_path / "out"))
    run(config_of(clip, tmp_path / "out"))
    run(config_of(clip, tmp_path / "whole"))
    for name in ("tracks", "videos"):
        assert table(tmp_path / "out", name) == table(tmp_path / "whole", name)
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "whole")


def test_labels_of_tracks_are_routed_as_those_of_rows(
    clip: Path, tmp_path: Path, run: Callable[[RunConfig], Manifest]
) -> None:
    run(config_of(clip, tmp_path / "out", audit=1.0))
    assert {track["decision"] for track in table(tmp_path / "out", "tracks")} == {"audit"}
    assert {region["decision"] for row in rows_of(tmp_path / "out") for region in row["regions"]} == {"audit"}


class Shown(Unwatched):
    """Keeps what a run shows."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.notes: list[str] = []

    def show(self, progress: RunProgress) -> None:
        self.lines.append(figures(progress))

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_progress_speaks_of_videos_frames_and_shots(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEO_LOG", str(tmp_path / "log"))
    monkeypatch.setattr("fo1_data.runs.active_run._TICK_EVERY_S", 0.0)
    shown = Shown()
    run_in_process(config_of(clip, tmp_path / "out"), shown, FACTORY)
    assert any(note.startswith("1 video to track in 1 shard") for note in shown.notes)
    assert "in work: 18 frames, 1 shot labelled" in " ".join(shown.lines)
    assert shown.lines[-1].startswith("1/1 video · ")
    assert f"{2 * NUM_SHOTS} tracks" in shown.lines[-1]


def test_equal_videos_are_labelled_once(tmp_path: Path, run: Callable[[RunConfig], Manifest]) -> None:
    corpus = tmp_path / "clips"
    corpus.mkdir()
    first = write_clip(corpus / "a.mkv", 1)
    (corpus / "z.mkv").write_bytes(first.read_bytes())
    write_clip(corpus / "m.mkv", 2)
    manifest = run(config_of(corpus, tmp_path / "out"))
    assert manifest.counts.videos == 2
    uris = sorted(video["uris"] for video in table(tmp_path / "out", "videos"))
    assert uris == [[str(corpus / "a.mkv"), str(corpus / "z.mkv")], [str(corpus / "m.mkv")]]
    labelled = (tmp_path / "log").read_text().splitlines()
    assert not any("z.mkv" in name for name in labelled)


def test_a_broken_video_is_a_reject_and_the_others_are_labelled(
    clip: Path, tmp_path: Path, run: Callable[[RunConfig], Manifest]
) -> None:
    corpus = tmp_path / "clips"
    corpus.mkdir()
    (corpus / "a.mkv").write_bytes(clip.read_bytes())
    (corpus / "b.mkv").write_bytes(b"no video at all")
    manifest = run(config_of(corpus, tmp_path / "out"))
    assert (manifest.counts.videos, manifest.counts.rejected) == (1, 1)
    (reject,) = open_dataset(str(tmp_path / "out")).rejects()
    assert (reject.uri, reject.reason) == (str(corpus / "b.mkv"), "bad_video")


def test_every_third_frame_is_looked_at_and_a_track_has_no_gap(
    clip: Path, tmp_path: Path, run: Callable[[RunConfig], Manifest]
) -> None:
    run(config_of(clip, tmp_path / "out", track_every=3))
    for track in table(tmp_path / "out", "tracks"):
        assert {(frame - SHOT_FRAMES * track["shot"]) % 3 for frame in track["frames"]} == {0}
        assert track["gaps"] == []


def test_tracks_that_are_given_take_the_place_of_detector_and_tracker(
    clip: Path, tmp_path: Path, run: Callable[[RunConfig], Manifest]
) -> None:
    boxes = [[x, y, x + SIDE, y + SIDE] for x, y in (places(0, frame)[0] for frame in range(8))]
    track = {"id": "van-7", "label": "van", "caption": "a red van", "frames": list(range(8))}
    video = {"video": str(clip), "tracks": [{**track, "boxes_xyxy": boxes}]}
    (tmp_path / "tracks.jsonl").write_text(json.dumps(video) + "\n")
    run(config_of(tmp_path / "tracks.jsonl", tmp_path / "out"))
    (row,) = table(tmp_path / "out", "tracks")
    assert (row["source_id"], row["source_label"], row["source_caption"]) == ("van-7", "van", "a red van")
    assert (row["box_source"], row["brief_caption"]) == ("corpus", "red")
    assert row["frames"] == list(range(8))
    assert row["scores"] == [None] * 8
    regions = [region for image in rows_of(tmp_path / "out") for region in image["regions"]]
    assert {region["source_caption"] for region in regions} == {"a red van"}


def test_a_detector_that_is_named_takes_the_place_of_given_tracks(
    clip: Path, tmp_path: Path, run: Callable[[RunConfig], Manifest]
) -> None:
    track = {"id": "van-7", "frames": [0], "boxes_xyxy": [[0, 0, 9, 9]]}
    (tmp_path / "tracks.jsonl").write_text(json.dumps({"video": str(clip), "tracks": [track]}) + "\n")
    run(config_of(tmp_path / "tracks.jsonl", tmp_path / "out", proposals="fo1-tiny"))
    tracks = table(tmp_path / "out", "tracks")
    assert len(tracks) == 2 * NUM_SHOTS
    assert {row["source_id"] for row in tracks} == {None}


def test_what_was_said_of_a_track_can_be_withdrawn_where_its_frames_were_carried_over(
    tmp_path: Path,
) -> None:
    pytest.importorskip("torch")
    clip = write_clip(tmp_path / "clip.mkv", 1)
    run_in_process(config_of(clip, tmp_path / "tracked"))
    track = table(tmp_path / "tracked", "tracks")[0]
    said = Correction(
        image_id=track["video_id"], track_id=track["track_id"], action="recaptioned", kind="brief_caption",
        after={"text": "my word"}, at="2026-11-24", as_of="2026-11-24", annotation_key="review/1",
    )  # fmt: skip
    merge_corrections(str(tmp_path / "tracked"), [said], str(tmp_path / "corrected"))
    given = {"tracker": "none", "frame_every_s": 0.1, "parent": str(tmp_path / "corrected")}
    run_in_process(config_of(clip, tmp_path / "frames", **given))
    merge_corrections(str(tmp_path / "frames"), [], str(tmp_path / "withdrawn"), reviews=["review"])

    def captions(name: str) -> set[str]:
        regions = [region for row in rows_of(tmp_path / name) for region in row["regions"]]
        return {one["brief_caption"] for one in regions if one["track_id"] == track["track_id"]}

    assert (captions("frames"), captions("withdrawn")) == ({"my word"}, {track["brief_caption"]})
