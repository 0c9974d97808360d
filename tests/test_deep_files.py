"""Files whose JSON or TOML is nested too deeply for any parser are refused in one line, as others are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fo1_data.confidence.calibration_file import read_calibration
from fo1_data.config import load_run
from fo1_data.dataset.corrections.sources import read_corrections
from fo1_data.dataset.manifest import find_manifest
from fo1_data.errors import UsageError
from fo1_data.model.configuration import load_config
from fo1_data.proposals.file_boxes import FileBoxes
from fo1_data.storage.store import open_store
from fo1_data.training.settings import load_train_config

DEEP = "[" * 20_000 + "]" * 20_000


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("run.toml", f"corpus = {DEEP}", lambda path: load_run(str(path))),
        ("train.toml", f"epochs = {DEEP}", lambda path: load_train_config(str(path))),
        ("manifest.json", DEEP, lambda path: find_manifest(open_store(str(path.parent)))),
        ("calibration.json", DEEP, lambda path: read_calibration(str(path))),
        ("corrections.jsonl", DEEP, lambda path: read_corrections(str(path))),
        ("boxes.jsonl", DEEP, lambda path: FileBoxes(str(path))),
        ("config.json", DEEP, lambda path: load_config(path.parent)),
    ],
)
def test_one_line_says_what_is_wrong(
    tmp_path: Path, name: str, text: str, read: Callable[[Path], object]
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
