"""A model's local copy: fetched once, whole, checked at every use."""

import shutil
import threading
from pathlib import Path

import pytest

from fo1_data.errors import CheckpointError
from fo1_data.model.node_cache import find_problem, local_copy, local_model


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "far" / "my-model"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "weights").write_bytes(bytes(range(256)) * 50)
    return folder


def test_a_copy_holds_the_files_under_the_name_of_the_model(source: Path, tmp_path: Path) -> None:
    copy = local_copy(f"file://{source}", tmp_path / "cache")
    assert copy.name == "my-model"
    assert (copy / "sub" / "weights").read_bytes() == (source / "sub" / "weights").read_bytes()
    assert not list(copy.parent.glob("part-*"))


def test_it_is_fetched_once_and_again_where_it_was_damaged(source: Path, tmp_path: Path) -> None:
    copy = local_copy(str(source), tmp_path / "cache")
    before = (copy / "config.json").stat().st_ino
    assert local_copy(str(source), tmp_path / "cache") == copy
    assert (copy / "config.json").stat().st_ino == before
    (copy / "config.json").write_text("[]")
    assert (local_copy(str(source), tmp_path / "cache") / "config.json").read_text() == "{}"


def test_what_a_killed_process_left_half_fetched_goes(source: Path, tmp_path: Path) -> None:
    copy = local_copy(str(source), tmp_path)
    half = copy.parent / "part-killed"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    shutil.rmtree(copy)
    assert local_copy(str(source), tmp_path) == copy
    assert list(copy.parent.iterdir()) == [copy]


def test_another_version_at_the_source_is_another_copy(source: Path, tmp_path: Path) -> None:
    first = local_copy(str(source), tmp_path / "cache")
    (source / "config.json").write_text('{"new": true}')
    second = local_copy(str(source), tmp_path / "cache")
    assert (second / "config.json").read_text() == '{"new": true}'
    assert first != second


def test_several_at_once_get_the_same_whole_copy(source: Path, tmp_path: Path) -> None:
    copies: list[Path] = []
    threads = [
        threading.Thread(target=lambda: copies.append(local_copy(str(source), tmp_path / "cache")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(copies) == 4
    assert len(set(copies)) == 1


def test_names_and_folders_of_this_machine_stay_as_they_are(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FO1_CACHE_DIR", str(tmp_path / "cache"))
    assert local_model("fo1-tiny", copy_folders=True) == "fo1-tiny"
    assert local_model("owner/name", copy_folders=True) == "owner/name"
    assert local_model(str(source), copy_folders=False) == str(source)
    assert local_model(str(source), copy_folders=True).startswith(str(tmp_path / "cache"))


def test_a_model_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot list the model at .*nowhere") as caught:
        local_copy(f"file://{tmp_path}/nowhere", tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert find_problem(str(tmp_path / "nowhere")) is not None
    assert find_problem("fo1-tiny") is None
