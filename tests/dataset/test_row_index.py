"""Rows are found by image id, in any order."""

from pathlib import Path

import pytest
from factories import make_row, make_shard

from fo1_data.dataset import parquet_files
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.row_index import RowIndex
from fo1_data.dataset.writer import open_run


def test_rows_are_found_in_any_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_files, "ROW_GROUP_ROWS", 2)
    rows = [make_row(i, embed=True) for i in range(7)]
    run = open_run(str(tmp_path / "d"), {"a": 1}, {})
    run.write_shard(make_shard(0), rows[:5], [], "a")
    run.write_shard(make_shard(1), rows[5:], [], "b")
    run.seal("d")

    index = RowIndex(open_dataset(str(tmp_path / "d")))
    assert index.ids() == [row.image_id for row in rows]
    for row in (rows[6], rows[0], rows[4], rows[1], rows[2]):
        assert index.row(row.image_id) == row
    assert index.row("f" * 64) is None
