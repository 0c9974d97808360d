"""A video on a real local Ray whose labellers are killed between shots: the tracks of an undisturbed run."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.cluster import ray_for
from actors.run import run_labelling
from fo1_data.dataset.reader import open_dataset
from fo1_data.runs.in_process import run_in_process
from schemas.jobs import RunConfig

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runs"))
from square_labeller import FACTORY
from test_video_runs import NUM_SHOTS, config_of, rows_of, table, write_clip

pytest.importorskip("av")
RUNS = Path(__file__).resolve().parents[1] / "runs"


@pytest.fixture
def ray_that_kills(tmp_path: Path) -> Iterator[Path]:
    """A Ray whose labellers are killed at their second shot; the file in which they log keyframes."""
    before = dict(os.environ)
    path = os.pathsep.join([str(RUNS), os.environ.get("PYTHONPATH", "")])
    os.environ.update(PYTHONPATH=path, VIDEO_LOG=str(tmp_path / "log"), VIDEO_KILL_AT="2")
    try:
        with ray_for(RunConfig(corpus="-", out="-", actors="1")):
            yield tmp_path / "log"
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_each_labeller_goes_on_where_the_one_before_it_was_killed(
    ray_that_kills: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "clip.mkv")
    # As many labellers are lost as a shot may lose, each in another shot.
    config = config_of(clip, tmp_path / "out", actors="1", max_tries=NUM_SHOTS - 1)
    manifest = run_labelling(config, None, FACTORY)
    assert manifest.counts.tracks == 2 * NUM_SHOTS
    assert not list(open_dataset(str(tmp_path / "out")).rejects())
    labelled = ray_that_kills.read_text().splitlines()
    assert len(set(labelled)) == len(labelled), "a keyframe was labelled twice"

    monkeypatch.setenv("VIDEO_KILL_AT", "0")
    monkeypatch.setenv("VIDEO_LOG", str(tmp_path / "whole.log"))
    run_in_process(config_of(clip, tmp_path / "whole"), None, FACTORY)
    for name in ("tracks", "videos"):
        assert table(tmp_path / "out", name) == table(tmp_path / "whole", name)
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "whole")
