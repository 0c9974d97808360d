"""A disk that is full when a command begins ends it as one that fills up later: one line, exit code 1."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import huggingface_hub
import pytest

from fo1_data.benchmarks.history import HistoryEntry, Machine, append_entry
from fo1_data.confidence.calibration_file import write_calibration
from fo1_data.corpus.hidden_addresses import hidden_address
from fo1_data.errors import CalibrationError, StorageError
from fo1_data.model.checkpoint_folder import find_checkpoint
from fo1_data.model.node_cache import local_copy
from schemas.calibration import Calibration

AT = "2026-01-01T00:00:00Z"
MACHINE = Machine(cpu="a CPU", cores=2, memory_gib=8, gpu=None, torch="2.8.0")
HISTORY = HistoryEntry(form="reader", settings={}, figures={}, at=AT, commit=None, machine=MACHINE)
CALIBRATION = Calibration(
    created_at=AT, model_sha256="ab" * 32, proposer=None, prompts_version=None,
    dataset="d@1", gold="g", caption_match="exact", seed=0, kinds={},
)  # fmt: skip


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB without any room."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no full disk: mounting one needs root")
    with (place / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
        while ballast.write(bytes(4096)):
            pass
    yield place
    subprocess.run(["umount", str(place)], check=True)


def copy_a_model(place: Path) -> None:
    source = place.parent / "model"
    source.mkdir(exist_ok=True)
    (source / "weights").write_bytes(bytes(4096))
    local_copy(str(source), place)


def hide_an_address(place: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FO1_HOME", str(place / "home"))
        hidden_address("/a/b.png")


def keep_figures(place: Path) -> None:
    append_entry(place / "history.jsonl", HISTORY)


def keep_a_calibration(place: Path) -> None:
    write_calibration(CALIBRATION, str(place / "calibration.json"))


@pytest.mark.parametrize("write", [copy_a_model, hide_an_address, keep_figures, keep_a_calibration])
def test_what_is_kept_beside_the_result_meets_a_full_disk(
    write: Callable[[Path], None], full_disk: Path
) -> None:
    with pytest.raises(StorageError, match=r"^no space left.*: free some, then run the same command again$"):
        write(full_disk)
    left = [path.name for path in full_disk.rglob("*") if path.is_file() and path.stat().st_size]
    assert left == ["ballast"]
    (full_disk / "ballast").unlink()
    write(full_disk)


def test_a_model_that_the_hub_sends_meets_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot_download(name: str, **options: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device", "/cache/blob")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(StorageError, match="^no space left at /cache/blob: free some"):
        find_checkpoint("owner/name")


def test_a_place_that_cannot_be_written_is_still_a_fault_of_the_request(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CalibrationError, match="cannot be written"):
        keep_a_calibration(tmp_path / "file")
