"""Progress moves while the only shard of a run is in work, on Ray and in one process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from quick_labeller import FACTORY

from actors.run import run_labelling
from fo1_data.runs.in_process import run_in_process
from fo1_data.runs.watcher import Unwatched
from schemas.jobs import RunConfig
from schemas.progress import RunProgress


class Watching(Unwatched):
    def __init__(self) -> None:
        self.seen: list[RunProgress] = []

    def show(self, progress: RunProgress) -> None:
        self.seen.append(progress)


def assert_moves_inside(run: Callable[..., object], corpus: Path, out: Path) -> None:
    watcher = Watching()
    run(RunConfig(corpus=str(corpus), out=str(out), shard_size=100, limit=20), watcher, FACTORY)
    inside = [progress for progress in watcher.seen if progress.shards == 0 and progress.images > 0]
    assert len({progress.images for progress in inside}) > 2
    assert all(progress.seconds_left is not None for progress in inside)
    assert max(progress.images for progress in inside) <= 20
    assert watcher.seen[-1].images == 20
    assert watcher.seen[-1].shards == 1


def test_in_one_process(small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICK_IMAGE_S", "0.2")
    assert_moves_inside(run_in_process, small_corpus, tmp_path / "out")


def test_on_ray(small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICK_IMAGE_S", "0.4")
    assert_moves_inside(run_labelling, small_corpus, tmp_path / "out")
