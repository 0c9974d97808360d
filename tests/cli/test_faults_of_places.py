"""Places that cannot be written and memory that runs out: one line and an exit code, and no traceback."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories import make_dataset
from typer.testing import CliRunner

from fo1_data.cli.main import app, main
from fo1_data.errors import StorageError
from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.checkpoint_files import save_checkpoint
from fo1_data.training.run_folder import write_state


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no small disk: mounting one needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def run_main(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """The exit code of a command and what it told."""
    monkeypatch.setattr("sys.argv", ["fo1", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    code = ended.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["model", "merge", "fo1-tiny", "--adapters", "{folder}", "--out", "{file}"], 2),
        (["scenes", "--count", "1", "--out", "{file}"], 2),
        (["scenes", "--count", "1", "--out", "{file}/inside"], 1),
        (["report", "{dataset}", "--out", "{file}/page.html"], 1),
        (["dataset", "export", "{dataset}", "--format", "coco", "--out", "{file}/inside"], 1),
        (["dataset", "split", "{dataset}", "--out", "{file}/inside"], 1),
        (["train", "{dataset}", "--stage", "1", "--out", "{file}/inside"], 1),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else str(value),
)
def test_a_place_below_a_file_is_told_in_one_line(
    arguments: list[str],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_dataset(tmp_path / "d")
    (tmp_path / "file").write_text("a file")
    places = {"file": tmp_path / "file", "folder": tmp_path, "dataset": tmp_path / "d"}
    ended, told = run_main([part.format(**places) for part in arguments], monkeypatch, capsys)
    (line,) = [line for line in told.splitlines() if line.startswith("fo1: ")]
    assert (ended, str(tmp_path / "file") in line) == (code, True), line
    assert "[Errno" not in line
    assert "Traceback" not in told


@pytest.mark.parametrize("arguments", [["--out=~/new"], ["--out", "~/new"]], ids=" ".join)
def test_a_home_that_the_shell_left_as_it_is_is_found(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("sys.argv", ["fo1", "scenes", "--count", "1", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert (tmp_path / "home/new/annotations.jsonl").is_file()
    assert not list((tmp_path / "here").iterdir())


def test_a_report_into_a_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_dataset(tmp_path / "d")
    code, told = run_main(["report", str(tmp_path / "d"), "--out", str(tmp_path / "d")], monkeypatch, capsys)
    assert (code, told.count("\n")) == (2, 1)
    assert f"--out {tmp_path / 'd'} is a folder: name a file" in told


def test_a_full_disk_is_told_in_one_line(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = run_main(["scenes", "--count", "40", "--out", str(small_disk / "s")], monkeypatch, capsys)
    (line,) = [line for line in told.splitlines() if line.startswith("fo1: ")]
    assert (code, "no space left" in line) == (1, True), line


def test_a_checkpoint_that_does_not_fit_on_the_disk_leaves_no_part(small_disk: Path) -> None:
    checkpoint = load_checkpoint("fo1-tiny")
    out = small_disk / "out"
    with pytest.raises((StorageError, OSError)):
        save_checkpoint(checkpoint.model, checkpoint.folder, out)
    (small_disk / "state").mkdir()
    with pytest.raises((StorageError, OSError)):
        write_state(small_disk / "state" / "training.pt", {"weights": dict(checkpoint.model.state_dict())})
    assert not [path for path in small_disk.rglob("*") if path.name.endswith((".safetensors", ".pt"))]
    assert not list(small_disk.rglob("*.partial"))


def test_the_best_checkpoint_of_a_run_is_shown_by_the_page_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "run" / "best").mkdir(parents=True)
    (tmp_path / "run" / "losses.jsonl").write_text("")
    result = CliRunner().invoke(app, ["report", str(tmp_path / "run" / "best")])
    assert f"fo1 report {tmp_path / 'run'} shows it" in str(result.exception)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ...")]
)
def test_a_command_without_memory_ends_in_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def runs_out() -> None:
        raise error

    monkeypatch.setattr("fo1_data.cli.main.app", runs_out)
    code, told = run_main([], monkeypatch, capfd)
    assert (code, told.count("\n")) == (1, 1)
    assert "out of memory" in told


def test_another_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("fo1_data.cli.main.app", fails)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        main()
