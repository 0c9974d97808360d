"""Tracks of a video in a real Label Studio: out, in, and merged."""

import copy
import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from conftest import Pair
from factories import make_shard
from made_up_tracks import FPS, Clip, make_clip
from PIL import Image
from reviewed_datasets import merge_reviewed, problems_by_label_studio

from fo1_data.corpus.video.encoding import h264_file
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.writer import open_run
from schemas.corrections import split_track_id
from services.label_studio.video_config import video_config

pytestmark = pytest.mark.timeout(600)


def shade(frame: int) -> tuple[int, int, int]:
    return (8 * frame, 255 - 8 * frame, 40)


def write_video(path: Path, clip: Clip, wh: tuple[int, int] = (64, 48)) -> None:
    with h264_file(path, wh, Fraction(int(FPS)), 4, 5) as file:
        for frame in range(clip.video.num_frames):
            file.add(Image.new("RGB", wh, shade(frame)))


def write_dataset(out: Path, clip: Clip) -> None:
    run = open_run(str(out), {"model_sha256": "aa"}, {})
    run.write_shard(make_shard(0), clip.rows, [], "t", tracks=clip.tracks, videos=[clip.video])
    run.seal("made-up")


@pytest.fixture(scope="module")
def reviewed(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Clip, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("tracks")
    clips = folder / "clips"
    clips.mkdir()
    clip = make_clip(7, num_tracks=3, uri=str(clips / "shop.mp4"))
    write_video(clips / "shop.mp4", clip)
    write_dataset(folder / "dataset", clip)
    return folder / "dataset", clip, pair.push(folder / "dataset", tracks=True)


def results_of(task: dict[str, Any], mark: str) -> dict[str, dict[str, Any]]:
    return {part["type"]: part for part in task["predictions"][0]["result"] if part["id"] == mark}


def test_tracks_go_out_whole_and_corrections_come_back(
    pair: Pair, reviewed: tuple[Path, Clip, dict[str, Any]], tmp_path: Path
) -> None:
    dataset, clip, review = reviewed
    (task,) = pair.tasks(review["project_id"])
    assert problems_by_label_studio([task], video_config({"brief_caption"})) == []
    response = httpx.get(task["data"]["video"], headers={"Range": "bytes=0-99"})
    assert (response.status_code, len(response.content)) == (206, 100)
    with av.open(io.BytesIO(httpx.get(task["data"]["video"]).content)) as video:
        colours = [frame.to_ndarray(format="rgb24").mean((0, 1)) for frame in video.decode(video=0)]
    assert len(colours) == clip.video.num_frames
    assert all(np.abs(colour - shade(n)).max() < 6 for n, colour in enumerate(colours))

    untouched = task["predictions"][0]["result"]
    pair.annotate(task["id"], untouched)
    pair.await_review(review["id"], annotations={"submitted": 1})
    said = pair.corrections(review["id"])
    assert [(part["action"], part["right"]) for part in said] == [("verdict", True)] * 3

    first, second, third = (track.track_id for track in clip.tracks)
    result = copy.deepcopy([part for part in untouched if part["id"] != second])
    of_first = {part["type"]: part for part in result if part["id"] == first}
    of_first["textarea"]["value"]["text"] = ["a small red box"]
    of_first["videorectangle"]["value"]["sequence"][4]["x"] += 12.5
    old = next(part for part in result if (part["id"], part["type"]) == (third, "videorectangle"))
    new = copy.deepcopy(old) | {"id": "drawn"}
    new["value"]["sequence"] = new["value"]["sequence"][9:]
    old["value"]["sequence"] = old["value"]["sequence"][:9]
    old["value"]["sequence"][-1]["enabled"] = False
    pair.annotate(task["id"], [*result, new])
    pair.await_review(review["id"], annotations={"submitted": 2})
    merged_at = tmp_path / "merged"
    merge_reviewed(pair, dataset, f"review:{review['id']}", merged_at)
    merged = {track.track_id: track for track in open_dataset(str(merged_at)).tracks()}
    assert set(merged) == {first, third, split_track_id(third, 9)}
    assert merged[first].brief_caption == "a small red box"
    assert merged[first].boxes_xyxy[4][0] == pytest.approx(clip.tracks[0].boxes_xyxy[4][0] + 8, abs=0.01)
    assert merged[first].boxes_xyxy[5] == pytest.approx(clip.tracks[0].boxes_xyxy[5], abs=0.01)
    assert merged[third].last_frame == 8
    assert merged[split_track_id(third, 9)].first_frame == 9
