"""The page of a training run: its curves, its figures, nothing from outside."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fo1_data.errors import CheckpointError
from fo1_data.reports.line_chart import Series, line_chart
from fo1_data.reports.training_page import is_training_run, write_training_page


def figures(right: float) -> dict[str, Any]:
    return {
        "loss": 1 - right,
        "accuracy": {"caption": right},
        "guess": {"caption": 0.25},
        "questions": {"caption": 8},
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "a<b>"
    folder.mkdir()
    lines: list[dict[str, Any]] = [{"step": 0, "validation": figures(0.125), "training": figures(0.25)}]
    lines += [{"step": step, "loss": 9 / step, "learning_rate": 1e-3} for step in range(1, 101)]
    lines += [{"step": 100, "validation": figures(0.625), "training": figures(0.875)}]
    (folder / "losses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "training.json").write_text(json.dumps({"stage": 2, "steps": 100, "batch_images": 4}))
    return folder


def test_the_page_shows_curves_and_figures(run: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from fo1_data.cli.main import main; main()",
        "report",
        str(run),
        "--json",
    ]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "r.html")], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {"report": str(tmp_path / "r.html"), "steps": 100}
    page = (tmp_path / "r.html").read_text()
    assert "a&lt;b&gt;" in page
    assert "<b>" not in page.partition("<h1>")[2].partition("</h1>")[0]
    for text in ("Exactly right: caption", "Learning rate", "<td>0.625</td>", "<td>0.875</td>", "step 100"):
        assert text in page
    assert "http" not in page.replace("http-equiv", "")


def test_of_equal_accuracies_the_lower_loss_is_the_best(run: Path, tmp_path: Path) -> None:
    with (run / "losses.jsonl").open("a") as log:
        for step, loss in ((200, 0.25), (300, 0.5)):
            line = {"step": step, "training": figures(1), "validation": {**figures(0.625), "loss": loss}}
            log.write(json.dumps(line) + "\n")
    write_training_page(run, str(tmp_path / "r.html"))
    heading = (
        (tmp_path / "r.html").read_text().partition("Best on validation images")[2].partition("</h2>")[0]
    )
    assert "step 200" in heading


def test_a_damaged_log_is_an_error_and_a_dataset_is_no_run(run: Path, tmp_path: Path) -> None:
    assert is_training_run(str(run))
    assert not is_training_run(str(tmp_path))
    text = (run / "losses.jsonl").read_text()
    (run / "losses.jsonl").write_text(text[:-9])  # cut off while it was written
    assert write_training_page(run, str(tmp_path / "r.html")) == 100
    (run / "losses.jsonl").write_text("{\n" + text)
    with pytest.raises(CheckpointError, match="is damaged in line 1"):
        write_training_page(run, str(tmp_path / "r.html"))


def test_a_chart_holds_its_lines_within_its_axes() -> None:
    chart = line_chart([Series("loss", [(1, 90.0), (10, 2.0)]), Series("nothing", [])], "loss", top=4)
    assert "nothing" not in chart
    assert 'aria-label="loss, loss: 2"' in chart
    assert ">5</text>" in chart  # the top of the axis, rounded up
    assert "Nothing to show" in line_chart([], "loss")
