"""What is wrong with a run is said before torch or Ray is imported; a finished run is not loaded again."""

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from object_store import ObjectStore
from random_detectors import write_grounding_dino, write_rt_detr

from fo1_data.model.checkpoint_folder import find_checkpoint
from fo1_data.synthetic.gold import write_scenes

ENDS_WITHIN_S = 240
# Runs the command line, then names the heavy modules that it has imported.
PROGRAM = """
import sys
from fo1_data.cli.main import main
try:
    main()
finally:
    print("heavy:", *[m for m in ("torch", "transformers", "ray") if m in sys.modules], file=sys.stderr)
"""


def fo1(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_S,
        check=False,
    )


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("fo1: ")]
    return line


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "corpus"
    write_scenes(folder, count=3, seed=5, num_objects=(1, 2))
    return folder


@pytest.fixture(scope="module")
def labelled(scenes: Path) -> Path:
    """A finished dataset of the scenes."""
    out = scenes.parent / "labelled"
    done = fo1("label", scenes, "--out", out, *OPTIONS)
    assert done.returncode == 0, done.stderr
    return out


OPTIONS = ("--address", "in-process", "--labels", "brief_caption", "--json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "/no/model"], "/no/model"),
        (["--model", "nosuch"], "nosuch: no such folder"),
        (["--model", "{corpus}"], "config.json"),
        (["--model", "{weightless}"], "no model.safetensors"),
        (["--proposals", "/no/boxes.jsonl"], "/no/boxes.jsonl"),
        (["--proposals", "{corpus}"], "is not a detector"),
        (["--device", "toaster"], "device 'toaster' is not known"),
        (["--calibration", "/no/C.json"], "/no/C.json"),
        (["--phrases", "/no/phrases.txt"], "/no/phrases.txt"),
        (["--vocabulary", "@nothing", "--labels", "detect"], "@nothing has no meaning"),
        (["--parent", "/no/parent"], "/no/parent"),
    ],
)
@pytest.mark.parametrize("address", ["in-process", None])
def test_what_is_wrong_is_said_before_anything_loads(
    scenes: Path, tmp_path: Path, options: list[str], message: str, address: str | None
) -> None:
    weightless = tmp_path / "weightless"
    shutil.copytree(find_checkpoint("fo1-tiny"), weightless, ignore=shutil.ignore_patterns("*.safetensors"))
    chosen = [option.format(corpus=scenes, weightless=weightless) for option in options]
    place = ["--address", address] if address else []
    done = fo1("label", scenes, "--out", tmp_path / "out", *place, *chosen)
    assert done.returncode == 2, done.stderr
    assert message in error_line(done)
    assert "heavy:" in done.stderr.splitlines()
    assert not (tmp_path / "out").exists()


def test_a_finished_run_says_so_without_loading(scenes: Path, labelled: Path) -> None:
    done = fo1("label", scenes, "--out", labelled, *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("checking the settings and listing the corpus")
    assert "is finished" in done.stderr
    assert "heavy:" in done.stderr.splitlines()
    assert json.loads(done.stdout)["counts"]["images"] == 3


def test_a_model_at_a_url_and_a_detector_are_not_loaded_for_a_finished_run(
    scenes: Path, tmp_path: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FO1_CACHE_DIR", str(tmp_path / "cache"))
    for path in find_checkpoint("fo1-tiny").iterdir():
        model = object_store.put(f"model/{path.name}", path.read_bytes()).rpartition("/")[0]
    detector = write_rt_detr(tmp_path / "detector")
    command = ("label", scenes, "--out", tmp_path / "out", "--model", model, "--proposals", detector)
    first = fo1(*command, *OPTIONS, "--limit", 1)
    assert first.returncode == 0, first.stderr
    shutil.rmtree(tmp_path / "cache")
    again = fo1(*command, *OPTIONS, "--limit", 1)
    assert again.returncode == 0, again.stderr
    assert "is finished" in again.stderr
    assert "heavy:" in again.stderr.splitlines()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("damage", ["no dataset", "no split", "cut file"])
def test_a_dataset_that_cannot_be_trained_on_is_said_before_torch(
    labelled: Path, tmp_path: Path, damage: str
) -> None:
    dataset = tmp_path / "dataset"
    if damage != "no dataset":
        shutil.copytree(labelled, dataset)
        (path,) = (dataset / "data").glob("train-*.parquet")
        path.write_bytes(path.read_bytes()[:100])
    if damage == "no split":
        path.unlink()
    done = fo1("train", dataset, "--stage", 1, "--out", tmp_path / "checkpoint")
    assert done.returncode == 2, done.stderr
    assert str(dataset) in error_line(done)
    (heavy,) = [line for line in done.stderr.splitlines() if line.startswith("heavy:")]
    assert "torch" not in heavy.split()


def test_other_settings_are_named_with_both_values(scenes: Path, labelled: Path) -> None:
    words = ("--labels", "brief_caption,ocr", "--max-new-tokens", 64)
    done = fo1("label", scenes, "--out", labelled, *OPTIONS, *words)
    assert done.returncode == 2
    assert 'labels: ["brief_caption"] -> ["brief_caption", "ocr"]' in error_line(done)
    assert "max_new_tokens: 256 -> 64" in error_line(done)
    assert "heavy:" in done.stderr.splitlines()


def test_other_weights_are_named_without_loading_them(scenes: Path, labelled: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(find_checkpoint("fo1-tiny"), other)
    (other / "tokenizer_config.json").write_text("{}")
    done = fo1("label", scenes, "--out", labelled, "--model", other, *OPTIONS)
    assert done.returncode == 2
    assert "model_sha256: " in error_line(done)
    assert "heavy:" in done.stderr.splitlines()


def test_a_changed_listing_names_its_images_and_the_way_on(scenes: Path, labelled: Path) -> None:
    annotations = scenes / "annotations.jsonl"
    before = annotations.read_text()
    first, second, third = map(json.loads, before.splitlines())
    lines = [first | {"caption": "another"}, second, third | {"image": third["image"] + ".new.png"}]
    annotations.write_text("".join(json.dumps(line) + "\n" for line in lines))
    try:
        done = fo1("label", scenes, "--out", labelled, *OPTIONS)
    finally:
        annotations.write_text(before)
    assert done.returncode == 2
    for part in (
        f"1 image added ({Path(third['image']).name}.new.png)",
        f"1 image gone ({Path(third['image']).name})",
        f"1 image changed ({Path(first['image']).name})",
        f"--parent {labelled}",
    ):
        assert part in error_line(done)


@pytest.mark.parametrize("listens", [False, True])
def test_an_address_without_a_ray_is_one_line(scenes: Path, tmp_path: Path, listens: bool) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if listens:
            taken.listen()  # and never answers
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        started_s = time.monotonic()
        done = fo1("label", scenes, "--out", tmp_path / "out", "--address", address)
    assert done.returncode == 1
    assert f"cannot reach the Ray cluster at {address}" in error_line(done)
    assert "heavy:" in done.stderr.splitlines()
    assert time.monotonic() - started_s < 60


def test_a_plan_names_a_model_that_is_not_there(scenes: Path) -> None:
    done = fo1("plan", scenes, "--address", "in-process", "--model", "nosuch", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["problems"][0].startswith("nosuch: no such folder")
    assert "heavy:" in done.stderr.splitlines()


def test_a_detector_that_cannot_look_for_the_words_is_one_line(scenes: Path, tmp_path: Path) -> None:
    """Also where only trying it tells; and `fo1 plan` tells it before a run."""
    folder = write_grounding_dino(tmp_path / "detector")
    words = ("--proposals", folder, "--vocabulary", " ".join(["traffic light"] * 20), "--labels", "detect")
    done = fo1("label", scenes, "--out", tmp_path / "out", *OPTIONS[:2], *words)
    assert done.returncode == 2, done.stderr
    assert f"{folder} takes 32: shorten it in --vocabulary" in error_line(done)
    assert not (tmp_path / "out" / "data").exists()
    planned = fo1("plan", scenes, "--address", "in-process", "--json", "--no-measure", *words)
    assert planned.returncode == 1
    (problem,) = json.loads(planned.stdout)["problems"]
    assert problem == error_line(done).removeprefix("fo1: ")
