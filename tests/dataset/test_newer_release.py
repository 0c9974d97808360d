"""Of a member that is not known in what fo1-data wrote, the message says: use the newer release."""

import json
from pathlib import Path

import pytest
from factories import make_dataset, make_row, make_shard

from fo1_data.benchmarks.history import load_history
from fo1_data.confidence.calibration_file import read_calibration
from fo1_data.dataset.checked_json import with_checksum
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.writer import open_run
from fo1_data.errors import CalibrationError, ConfigError, DatasetError, StorageError
from fo1_data.training.samples.chats import read_chats

NEWER = "gist: is not known to this release: use the newer fo1-data that wrote it$"


def test_a_manifest(tmp_path: Path) -> None:
    make_dataset(tmp_path / "d")
    path = tmp_path / "d" / "manifest.json"
    source = {"source": "/a", "gist": 1}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sources": [source]}))
    with pytest.raises(DatasetError, match=rf"sources\.0\.{NEWER}"):
        open_dataset(str(tmp_path / "d"))


def test_a_marker(tmp_path: Path) -> None:
    out = tmp_path / "d"
    open_run(str(out), {}, {}).write_shard(make_shard(0), [make_row(0)], [], "a")
    (path,) = (out / ".run" / "shards").glob("*.json")
    document = json.loads(path.read_text())
    del document["crc32"]
    document["files"][0]["gist"] = 1
    path.write_bytes(with_checksum(json.dumps(document).encode()))
    with pytest.raises(StorageError, match=rf"{path.name}: files\.0\.{NEWER}"):
        open_run(str(out), {}, {}).done_shards()


def test_a_calibration_and_a_history(tmp_path: Path) -> None:
    path = tmp_path / "made.json"
    path.write_text('{"gist": 1}')
    with pytest.raises(CalibrationError, match=NEWER):
        read_calibration(str(path))
    with pytest.raises(ConfigError, match=NEWER):
        load_history(path)


def test_what_a_person_writes_is_to_be_checked(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text('{"question": "a", "answer": "b", "gist": 1}\n')
    with pytest.raises(ConfigError, match="gist: is not known here: check how it is written"):
        read_chats(str(path))
