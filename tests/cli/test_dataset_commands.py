"""`fo1 dataset ...` as a user calls it: JSON alone on standard output, exit codes, one-line errors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from factories import make_dataset

from fo1_data.dataset.reader import open_dataset
from schemas.corrections import Correction, CorrectionAction, correction_line

RUN = "import sys; from fo1_data.cli.main import main; sys.argv[0] = 'fo1'; main()"


def fo1(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    make_dataset(tmp_path / "d")
    return tmp_path / "d"


def test_info_validate_diff(dataset: Path) -> None:
    info = json.loads(fo1("dataset", "info", dataset, "--json").stdout)
    assert (info["counts"]["images"], info["splits"]["train"]["rows"]) == (6, 6)
    assert json.loads(fo1("dataset", "validate", dataset, "--json").stdout) == {"ok": True, "problems": []}
    assert json.loads(fo1("dataset", "diff", dataset, dataset, "--json").stdout)["equal"] == 6


def test_a_bad_dataset_fails_and_a_missing_one_is_wrong_usage(dataset: Path, tmp_path: Path) -> None:
    (dataset / "rejects.parquet").unlink()
    bad = fo1("dataset", "validate", dataset, "--json")
    assert bad.returncode == 1
    assert json.loads(bad.stdout)["ok"] is False
    none = fo1("dataset", "info", tmp_path / "nothing", "--json")
    assert (none.returncode, none.stdout) == (2, "")
    assert len(none.stderr.strip().splitlines()) == 1


def test_publish_export_remove(dataset: Path, tmp_path: Path) -> None:
    published = fo1("dataset", "publish", dataset, "--out", tmp_path / "pub", "--json")
    assert json.loads(published.stdout)["counts"]["images"] == 6
    exported = fo1("dataset", "export", dataset, "--format", "coco", "--out", tmp_path / "coco", "--json")
    assert json.loads(exported.stdout)["images"] == 6
    unknown = fo1("dataset", "remove", dataset, "--image-id", "ab", "--out", tmp_path / "less")
    assert (unknown.returncode, len(unknown.stderr.strip().splitlines())) == (2, 1)
    removed = fo1("dataset", "remove", dataset, "--image-id", "00002.png", "--out", tmp_path / "less")
    assert f"removed {dataset.parent / 'images' / '00002.png'} with 2 regions" in removed.stderr
    assert (
        f"- {dataset.parent / 'images' / '00002.png'}"
        in fo1("dataset", "diff", dataset, tmp_path / "less").stdout.splitlines()
    )
    wrong = fo1("dataset", "publish", dataset, "--out", tmp_path / "p", "--only", "good")
    assert wrong.returncode == 2


def test_merge_and_lineage(dataset: Path, tmp_path: Path) -> None:
    row = next(iter(open_dataset(str(dataset)).rows()))
    change = Correction(
        image_id=row.image_id,
        action=CorrectionAction.DELETED,
        region_id=row.regions[0].region_id,
        at="2026-11-24T10:00:00Z",
    )
    lines = tmp_path / "c.jsonl"
    lines.write_text(correction_line(change) + "\n")
    merged = fo1("dataset", "merge", dataset, "--corrections", lines, "--out", tmp_path / "v2", "--json")
    document = json.loads(merged.stdout)
    assert (document["version"], document["merged"]["deleted"], document["counts"]["regions"]) == ("2", 1, 11)
    shown = fo1("dataset", "diff", dataset, tmp_path / "v2").stdout
    assert "1 changed" in shown
    assert f"~ {row.uri}" in shown.splitlines()
    assert f'    box 0 "{row.regions[0].brief_caption}" is gone' in shown.splitlines()
    assert " 1 deleted" in shown
    origin = json.loads(fo1("dataset", "lineage", tmp_path / "v2", "--images", "--json").stdout)
    assert (origin["num_images"], len(origin["inputs"][0]["versions"])) == (6, 2)
    lines.write_text('{"action": "moved"}\n')
    for source in (lines, tmp_path / "none.jsonl"):
        broken = fo1("dataset", "merge", dataset, "--corrections", source, "--out", tmp_path / "v3", "--json")
        assert (broken.returncode, broken.stdout, len(broken.stderr.strip().splitlines())) == (2, "", 1)
