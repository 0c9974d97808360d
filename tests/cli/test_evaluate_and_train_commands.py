"""`fo1 evaluate` and `fo1 train` as a user calls them: figures as JSON, one-line errors for wrong usage."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from factories import make_dataset

from fo1_data.cli.evaluate import report_missing
from fo1_data.synthetic.gold import write_scenes

pytest.importorskip("torch")
RUN = "import sys; from fo1_data.cli.main import main; sys.argv[0] = 'fo1'; main()"


def fo1(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "{dataset}", "--gold", "{nothing}"),
        ("evaluate", "{nothing}", "--gold", "{scenes}"),
        ("evaluate", "{dataset}", "--gold", "{scenes}"),
        ("report", "{dataset}", "--gold", "{nothing}", "--out", "{nothing}.html"),
        ("train", "{nothing}", "--stage", "2", "--out", "{nothing}"),
        ("train", "{scenes}", "--stage", "3", "--out", "{nothing}"),
        ("train", "{scenes}", "--stage", "2", "--model", "{nothing}", "--out", "{nothing}"),
    ],
)
def test_wrong_usage_is_said_in_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    make_dataset(tmp_path / "d")
    scenes = write_scenes(tmp_path / "scenes", 1, 70, (3, 4))
    places = {"dataset": tmp_path / "d", "nothing": tmp_path / "nothing", "scenes": scenes}
    ended = fo1(*(argument.format(**places) for argument in arguments), "--json")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", [("train", "--stage", "2"), ("train-detector",)])
def test_a_run_leaves_a_folder_that_holds_something_else_as_it_is(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    dataset = tmp_path / "d"
    make_dataset(dataset)
    scenes = write_scenes(tmp_path / "scenes", 1, 70, (3, 4))
    before = {path: path.read_bytes() for path in dataset.rglob("*") if path.is_file()}
    name, *options = command
    ended = fo1(name, scenes, *options, "--out", dataset, "--steps", 1)
    assert ended.returncode == 2
    assert f"--out {dataset} is not empty, and holds no run to resume" in ended.stderr.splitlines()[-1]
    assert {path: path.read_bytes() for path in dataset.rglob("*") if path.is_file()} == before


def test_a_run_whose_images_are_gone_names_one(tmp_path: Path) -> None:
    scenes = write_scenes(tmp_path / "scenes", 1, 70, (3, 4))
    (image,) = (tmp_path / "scenes/images").iterdir()
    image.unlink()
    ended = fo1("train", scenes, "--stage", 2, "--out", tmp_path / "out", "--steps", 1)
    last = ended.stderr.splitlines()[-1]
    assert (ended.returncode, image.name in last, "does not exist" in last) == (1, True, True), last


@pytest.mark.parametrize("figures", [{}, {"proposals": {"recall": 0.5, "recall_75": None}}])
def test_missing_images_have_a_heading_only_above_figures(
    figures: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    report_missing({"images": 2, "gold_images": 3, "rejected": 1, "counted_as_misses": figures})
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == (
        "2 of 3 gold images are missing in the dataset (1 of them rejected). The figures leave them out"
    )
    heading = ["with the missing images counted as misses:", "  proposals: recall 0.5"]
    assert rest == (heading if figures else [])


def test_a_checkpoint_trained_by_command_labels_and_is_scored(tmp_path: Path) -> None:
    scenes = write_scenes(tmp_path / "scenes", 2, 70, (3, 4))
    trained = fo1(
        *(
            "train",
            scenes,
            "--stage",
            1,
            "--model",
            "fo1-tiny",
            "--steps",
            1,
            "--out",
            tmp_path / "ckpt",
            "--json",
        )
    )
    assert trained.returncode == 0, trained.stderr
    json.loads(trained.stdout)
    labelled = fo1(
        *(
            "label",
            scenes,
            "--out",
            tmp_path / "d",
            "--model",
            tmp_path / "ckpt",
            "--labels",
            "brief_caption",
        ),
        *("--proposals", "corpus", "--address", "in-process", "--json"),
    )
    assert labelled.returncode == 0, labelled.stderr
    scored = json.loads(fo1("evaluate", tmp_path / "d", "--gold", scenes, "--json").stdout)
    assert {"proposals", "captions", "groundings", "counts", "text", "confidence"} <= set(scored)
    assert scored["proposals"]["recall"] is None
    assert "gold's own" in scored["proposals"]["note"]
    assert scored["gold"]["share"] == 1
