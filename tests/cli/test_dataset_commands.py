"""`fo1 dataset ...` as a user calls it: JSON alone on standard output, exit codes, one-line errors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from factories import make_dataset

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
    wrong = fo1("dataset", "publish", dataset, "--out", tmp_path / "p", "--only", "good")
    assert wrong.returncode == 2
