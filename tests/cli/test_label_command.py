"""`fo1 label` as people call it: the bundled model on a few scenes, and one line for what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fo1_data.dataset.reader import open_dataset
from fo1_data.synthetic.gold import write_scenes

ENDS_WITHIN_S = 240


def fo1(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from fo1_data.cli.main import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_S,
        check=False,
    )


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "corpus"
    write_scenes(folder, count=4, seed=11, num_objects=(2, 4))
    (folder / "images" / "broken.png").write_bytes(b"no image")
    with (folder / "annotations.jsonl").open("a") as lines:
        lines.write(json.dumps({"image": "images/broken.png"}) + "\n")
    return folder


def test_labels_on_ray_and_in_process_alike(scenes: Path, tmp_path: Path) -> None:
    options = ["--shard-size", "2", "--labels", "brief_caption", "--json"]
    on_ray = fo1("label", scenes, "--out", tmp_path / "ray", *options)
    assert on_ray.returncode == 0, on_ray.stderr
    document = json.loads(on_ray.stdout)
    assert document["dataset"] == str(tmp_path / "ray")
    assert (document["counts"]["images"], document["counts"]["rejected"]) == (4, 1)
    assert document["counts"]["captions"] == document["counts"]["regions"] > 0
    assert document["seconds"] > 0
    assert "Traceback" not in on_ray.stderr

    alone = fo1("label", scenes, "--out", tmp_path / "alone", "--address", "in-process", "--strict", *options)
    assert alone.returncode == 1, alone.stderr
    assert "1 input rejected (--strict)" in alone.stderr

    def captions(out: Path) -> dict[str, list[str | None]]:
        return {
            row.image_id: [region.brief_caption for region in row.regions]
            for row in open_dataset(str(out)).rows()
        }

    assert captions(tmp_path / "ray") == captions(tmp_path / "alone")

    again = fo1("label", scenes, "--out", tmp_path / "alone", "--address", "in-process", *options)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["counts"] == document["counts"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["label", "{corpus}"], "out: not given"),
        (["label", "/nowhere/at/all", "--out", "{out}"], "no corpus at /nowhere/at/all"),
        (["label", "{corpus}", "--out", "{corpus}/annotations.jsonl"], "is a file, not a folder"),
        (["label", "{corpus}", "--out", "/proc/nowhere", "--address", "in-process"], "cannot"),
        (["label", "{corpus}", "--out", "{out}", "--labels", "detect"], "need a vocabulary"),
        (["label", "{corpus}", "--out", "{out}", "--labels", "poetry"], "labels.0"),
        (["label", "{corpus}", "--out", "{out}", "--actors", "few"], "actors"),
        (
            ["label", "{corpus}", "--out", "{out}", "--model", "/no/model", "--address", "in-process"],
            "/no/model",
        ),
        (["label", "{corpus}", "--out", "{out}", "--config", "/no.toml"], "/no.toml"),
        (["plan", "/nowhere/at/all"], "no corpus at /nowhere/at/all"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    scenes: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    out = tmp_path / "out"
    done = fo1(*(argument.format(corpus=scenes, out=out) for argument in arguments))
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("fo1: ")]
    assert len(lines) == 1
    assert told in lines[0]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_plan_measures_nothing_of_a_cluster_in_process(scenes: Path) -> None:
    done = fo1("plan", scenes, "--address", "in-process", "--no-measure", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["images"] == 5
    assert plan["files"]["bad_by_reason"] == {"decode: not_an_image": 1}
    assert plan["estimate"]["assumptions"]
    assert plan["label_studio"] == {"configured": False}
    assert plan["problems"] == []


def test_rows_of_a_parent_are_carried_over_and_only_new_images_labelled(scenes: Path, tmp_path: Path) -> None:
    options = ["--address", "in-process", "--labels", "brief_caption", "--json"]
    parent = fo1("label", scenes, "--out", tmp_path / "parent", "--limit", "2", *options)
    assert parent.returncode == 0, parent.stderr

    child = fo1("label", scenes, "--out", tmp_path / "child", "--parent", tmp_path / "parent", *options)
    assert child.returncode == 0, child.stderr

    def rows(name: str) -> dict[str, dict[str, object]]:
        found = open_dataset(str(tmp_path / name)).rows()
        return {row.image_id: row.model_dump(mode="json") for row in found}

    before, after = rows("parent"), rows("child")
    assert (len(before), len(after)) == (2, 4)
    # Provenance too: what was carried over was labelled by the parent's run, not again.
    assert {image_id: after[image_id] for image_id in before} == before
    assert json.loads((tmp_path / "child" / "manifest.json").read_text())["parent"] == "parent@1"
