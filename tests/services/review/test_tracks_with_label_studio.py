"""Tracks of a video in a real Label Studio: out, in, and merged."""

import copy
import hashlib
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
from playwright.sync_api import Page, expect
from reviewed_datasets import merge_reviewed, problems_by_label_studio

from fo1_data.corpus.video.encoding import h264_file
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.writer import open_run
from schemas.corrections import split_track_id
from services.label_studio.video_config import video_config

pytestmark = pytest.mark.timeout(600)


VIDEO_TAG = "[...Htx.annotationStore.selected.names.values()].find(tag => tag.type == 'video')"


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


def make_reviewed(
    pair: Pair, folder: Path, wh: tuple[int, int] = (64, 48)
) -> tuple[Path, Clip, dict[str, Any]]:
    """A dataset with a video of three tracks, and its review in Label Studio."""
    path = folder / "clips" / "shop.mp4"
    path.parent.mkdir()
    write_video(path, make_clip(7), wh)
    video_id = hashlib.sha256(path.read_bytes()).hexdigest()
    clip = make_clip(7, num_tracks=3, uri=str(path), video_id=video_id, width=wh[0], height=wh[1])
    write_dataset(folder / "dataset", clip)
    return folder / "dataset", clip, pair.push(folder / "dataset", tracks=True)


@pytest.fixture(scope="module")
def reviewed(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Clip, dict[str, Any]]:
    return make_reviewed(pair, tmp_path_factory.mktemp("tracks"))


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


def test_what_a_browser_submits_of_tracks_is_what_was_edited(pair: Pair, page: Page, tmp_path: Path) -> None:
    """Its own rounding, times and frame counts are in the loop: no box of any frame changes."""
    _, clip, review = make_reviewed(pair, tmp_path, (640, 480))
    (task,) = pair.tasks(review["project_id"])
    page.goto(f"{pair.label_studio.url}/projects/{review['project_id']}/data?task={task['id']}")
    page.wait_for_function(
        "n => window.Htx?.annotationStore?.selected?.regionStore.regions.length == n"
        " && document.querySelector('video')?.readyState >= 2",
        arg=len(clip.tracks),
    )
    captions = page.locator(".lsf-outliner-item textarea, .lsf-outliner-item input")
    expect(captions).to_have_count(len(clip.tracks))
    assert [field.input_value() for field in captions.all()] == [t.brief_caption for t in clip.tracks]
    seen = settled_picture(page)
    rows, columns = np.nonzero(np.abs(seen - seen[400, 560]).max(axis=2) < 8)
    assert np.ptp(columns) >= 600
    assert np.ptp(rows) >= 440
    assert frame_in(seen) == 0
    page.locator(".lsf-outliner-item__index").nth(1).click()
    page.locator(".lsf-video-segmentation").press("Alt+ArrowRight")
    page.wait_for_function(f"{VIDEO_TAG}.frame > 1")
    frame = page.evaluate(f"{VIDEO_TAG}.frame") - 1
    pair.until(lambda: frame_in(settled_picture(page)), lambda number: number == frame, 20)

    captions.first.fill("a caption by hand")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="submit", exact=False).first.click()
    pair.await_review(review["id"], annotations={"submitted": 1})
    found = pair.corrections(review["id"])
    edited = [part for part in found if part["action"] != "verdict"]
    assert [(part["action"], part["track_id"], part["after"]["text"]) for part in edited] == [
        ("recaptioned", clip.tracks[0].track_id, "a caption by hand")
    ]
    assert {part["track_id"] for part in found if part.get("right")} == {t.track_id for t in clip.tracks[1:]}


def settled_picture(page: Page) -> Any:
    """What the page shows as (height, width, 3), once two pictures of it are equal."""
    last = b""
    for _ in range(40):
        shot = page.screenshot()
        if shot == last:
            break
        last = shot
        page.wait_for_timeout(250)
    return np.asarray(Image.open(io.BytesIO(last)).convert("RGB")).astype(int)


def frame_in(picture: Any) -> int:
    """The frame of `write_video` whose colour is nearest to that in the middle of the video."""
    return int(np.argmin([np.abs(picture[400, 560] - shade(frame)).sum() for frame in range(30)]))
