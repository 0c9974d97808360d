"""What fo1 plan says of videos: frames, and questions to the model beside those of every frame."""

from pathlib import Path
from typing import Any

import pytest

from fo1_data.runs.video_cost import cost_of_videos
from schemas.corpus import CorpusImage, FrameFiles, GivenTrack
from schemas.jobs import RunConfig

av = pytest.importorskip("av")


def config(**settings: Any) -> RunConfig:
    return RunConfig.model_validate({"corpus": "c", "out": "o", "labels": "brief_caption", **settings})


def write_clip(path: Path, num_frames: int) -> CorpusImage:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(num_frames):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode())
    return CorpusImage(uri=str(path))


def test_frames_are_counted_and_questions_are_far_fewer_than_for_every_frame(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 100)
    cost = cost_of_videos([clip, CorpusImage(uri="a.png")], config(track_every=4))
    assert cost is not None
    assert (cost.videos, cost.frames, cost.detector_frames) == (1, 100, 25)
    assert cost.seconds == pytest.approx(10)
    assert 0 < cost.questions < cost.questions_of_every_frame / 10
    assert "100 frames (0.2 min), 25 for the detector" in str(cost)


def test_tracks_that_are_given_are_counted(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 30)
    tracks = [GivenTrack(id=str(n), frames=list(range(n)), boxes_xyxy=[(0, 0, 9, 9)] * n) for n in (1, 2, 20)]
    cost = cost_of_videos([clip.model_copy(update={"tracks": tracks})], config())
    assert cost is not None
    assert (cost.questions, cost.questions_of_every_frame, cost.detector_frames) == (6, 23, 0)


def test_a_corpus_whose_videos_cannot_be_opened_has_no_figures(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    assert cost_of_videos([CorpusImage(uri=str(tmp_path / "a.mp4"))], config()) is None
    assert (
        cost_of_videos([CorpusImage(uri="a.png", frame_files=FrameFiles(addresses=["b"]))], config()) is None
    )
