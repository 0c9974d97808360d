"""Rows of an earlier version are carried over whole."""

from pathlib import Path

import pytest
from factories import make_row, make_shard

from fo1_data.dataset import parquet_files
from fo1_data.dataset.parent import open_parent
from fo1_data.dataset.writer import open_run
from fo1_data.errors import DatasetError
from schemas.labels import Source


def test_rows_of_a_parent_are_found_in_any_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_files, "ROW_GROUP_ROWS", 2)
    rows = [make_row(i, embed=True) for i in range(7)]
    rows[4].regions[0].labels[0].source = Source.HUMAN
    run = open_run(str(tmp_path / "d"), {"a": 1}, {})
    run.write_shard(make_shard(0), rows[:5], [], "a")
    run.write_shard(make_shard(1), rows[5:], [], "b")
    run.finalise("parent")

    parent = open_parent(str(tmp_path / "d"))
    for row in (rows[6], rows[0], rows[4], rows[1], rows[2]):
        assert parent.row(row.image_id) == row
    assert parent.row("f" * 64) is None
    carried = parent.carry_over(rows[4].image_id, "new.png")
    assert carried is not None
    assert carried.uris == ["new.png", rows[4].uri]
    assert (carried.image.bytes, carried.image.path) == (None, "new.png")
    assert carried.regions == rows[4].regions
    assert parent.carry_over("f" * 64, "new.png") is None


def test_the_next_version_names_its_parent(tmp_path: Path) -> None:
    first = open_run(str(tmp_path / "a"), {"a": 1}, {})
    first.write_shard(make_shard(), [make_row()], [], "a")
    parent = first.finalise("things")
    second = open_run(str(tmp_path / "b"), {"a": 2}, {})
    second.write_shard(make_shard(), [make_row()], [], "a")
    manifest = second.finalise("things", parent=parent)
    assert (manifest.version, manifest.parent) == ("2", "things@1")


def test_a_parent_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is no dataset"):
        open_parent(str(tmp_path))
