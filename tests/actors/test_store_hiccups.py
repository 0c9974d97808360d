"""A store that fails for a moment ends no run; what a person reads of the progress waits."""

from pathlib import Path

from quick_labeller import FACTORY
from run_probes import comparable

from fo1_data.runs.in_process import run_in_process
from fo1_data.runs.watcher import Unwatched
from schemas.jobs import RunConfig


class Noting(Unwatched):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_a_progress_that_cannot_be_written_ends_no_run(
    small_corpus: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out, watcher = tmp_path / "out", Noting()
    (out / ".run" / "progress.json" / "in-the-way").mkdir(parents=True)
    config = RunConfig(corpus=str(small_corpus), out=str(out), shard_size=4)
    run_in_process(config, watcher, FACTORY)
    assert comparable(out) == comparable(undisturbed)
    told = [note for note in watcher.notes if "progress.json" in note]
    assert len(told) == 1, watcher.notes
    assert told[0].endswith("the run goes on, and tries again for 30 s")
