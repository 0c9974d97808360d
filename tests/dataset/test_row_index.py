"""Rows are found by image id, in any order."""

from pathlib import Path

import pyarrow.parquet as pq
from factories import make_row, make_shard

from fo1_data.dataset.history import without_pixels
from fo1_data.dataset.parquet_files import ROW_GROUP_ROWS
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.row_index import RowIndex
from fo1_data.dataset.writer import open_run


def test_rows_are_found_in_any_row_group(tmp_path: Path) -> None:
    rows = [make_row(i, num_regions=0, width=9, height=9, embed=True) for i in range(ROW_GROUP_ROWS + 5)]
    run = open_run(str(tmp_path / "d"), {"a": 1}, {})
    run.write_shard(make_shard(0), rows[:-2], [], "a")
    run.write_shard(make_shard(1), rows[-2:], [], "b")
    first = run.seal("d").files[0]
    assert pq.ParquetFile(tmp_path / "d" / first.path).num_row_groups == 2

    index = RowIndex(open_dataset(str(tmp_path / "d")))
    assert index.ids() == [row.image_id for row in rows]
    some = [rows[-1], rows[0], rows[-3], rows[ROW_GROUP_ROWS - 1], rows[ROW_GROUP_ROWS], rows[2]]
    for row in some:
        assert index.row(row.image_id) == without_pixels(row)
    of_some = index.batch([row.image_id for row in some])
    assert of_some["uri"].to_pylist() == [row.uri for row in some]
    assert index.row("f" * 64) is None
