"""A byte of a checkpoint that changes after it was written is found where the checkpoint is used."""

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fo1_data.cli.main import app
from fo1_data.errors import CheckpointError, StorageError
from fo1_data.model.checkpoint import Checkpoint, load_checkpoint
from fo1_data.model.checkpoint_files import save_checkpoint
from fo1_data.model.checkpoint_folder import checkpoint_sha256
from fo1_data.model.checksums import SUMS
from fo1_data.synthetic.gold import write_scenes


@pytest.fixture
def saved(random_checkpoint: Checkpoint, tmp_path: Path) -> Path:
    save_checkpoint(random_checkpoint.model, random_checkpoint.folder, tmp_path / "saved")
    return tmp_path / "saved"


def change_a_byte(path: Path) -> None:
    """A low bit of a number in the middle: the file stays readable."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_sums_are_those_of_sha256sum(saved: Path) -> None:
    checked = subprocess.run(
        ["sha256sum", "--strict", "--check", SUMS], cwd=saved, capture_output=True, text=True, check=True
    )
    assert "model.safetensors: OK" in checked.stdout.splitlines()
    assert "config.json" not in checked.stdout


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.json"])
def test_a_changed_byte_is_told_with_what_to_do(name: str, saved: Path) -> None:
    whole = checkpoint_sha256(saved)
    change_a_byte(saved / name)
    with pytest.raises(CheckpointError, match=rf"^{saved}/{name} is damaged .*delete {SUMS} there$"):
        checkpoint_sha256(saved)
    assert (
        f"  {name} is not as it was written" in CliRunner().invoke(app, ["model", "info", str(saved)]).output
    )
    (saved / SUMS).unlink()
    assert checkpoint_sha256(saved) != whole


def test_a_checkpoint_of_before_there_were_sums_is_the_same_one(saved: Path) -> None:
    sha256 = checkpoint_sha256(saved)
    (saved / SUMS).unlink()
    load_checkpoint(str(saved))
    assert checkpoint_sha256(saved) == sha256


def test_weights_that_are_replaced_half_way_have_no_sums(saved: Path) -> None:
    checkpoint = load_checkpoint(str(saved))
    (saved / "model.safetensors.partial").mkdir()
    with pytest.raises((StorageError, OSError)):
        save_checkpoint(checkpoint.model, checkpoint.folder, saved)
    assert not (saved / SUMS).exists()
    checkpoint_sha256(saved)


def test_nothing_is_labelled_with_changed_weights(saved: Path, tmp_path: Path) -> None:
    change_a_byte(saved / "model.safetensors")
    corpus = write_scenes(tmp_path / "corpus", 1, 70, (3, 4))
    command = ["label", str(corpus.parent), "--model", str(saved), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*command, "--labels", "brief_caption", "--address", "in-process"])
    assert isinstance(result.exception, CheckpointError), result.output
    assert "model.safetensors is damaged" in str(result.exception)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_sums_that_cannot_be_read_are_told(saved: Path) -> None:
    (saved / SUMS).write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointError, match=rf"{SUMS} cannot be read .*: delete it$"):
        checkpoint_sha256(saved)
