"""Every image of a shard is read once and ahead of the model, whether or not its row is carried over."""

from pathlib import Path

import pytest
from counting_server import counting_server

pytest.importorskip("torch")

from fo1_data.dataset.reader import open_dataset
from fo1_data.runs.in_process import run_in_process
from fo1_data.runs.watcher import Unwatched
from fo1_data.synthetic.gold import write_scenes
from schemas.jobs import RunConfig
from schemas.labels import LabelKind

NUM_IMAGES = 8
DELAY_S = 0.05


def test_rows_of_a_parent_cost_one_read_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the images have a row in the parent: it is carried over; the others are labelled."""
    write_scenes(tmp_path / "scenes", NUM_IMAGES, 90, (2, 3))
    files = sorted(path.name for path in (tmp_path / "scenes").rglob("*.png"))
    folder = next((tmp_path / "scenes").rglob("*.png")).parent
    with counting_server(folder, DELAY_S) as server:
        listing = tmp_path / "all.txt"
        listing.write_text("\n".join(f"{server.url}/{name}" for name in files))
        first_half = tmp_path / "half.txt"
        first_half.write_text("\n".join(f"{server.url}/{name}" for name in files[: NUM_IMAGES // 2]))
        settings = {"labels": [LabelKind.BRIEF_CAPTION], "batch_images": 2, "max_new_tokens": 8}
        parent = str(tmp_path / "parent")
        monkeypatch.setenv("FO1_JOB_ID", "first")
        run_in_process(RunConfig(corpus=str(first_half), out=parent, **settings), Unwatched())
        server.requests.clear()
        server.most_at_once = 0

        out = str(tmp_path / "child")
        monkeypatch.setenv("FO1_JOB_ID", "second")
        run_in_process(RunConfig(corpus=str(listing), out=out, parent=parent, **settings), Unwatched())

    assert dict(server.requests) == dict.fromkeys(files, 1)
    assert server.most_at_once > 1, "reads wait for one another"
    job_of = {row.uri.rpartition("/")[2]: row.provenance.job_id for row in open_dataset(out).rows()}
    carried, labelled = files[: NUM_IMAGES // 2], files[NUM_IMAGES // 2 :]
    assert job_of == dict.fromkeys(carried, "first") | dict.fromkeys(labelled, "second")
