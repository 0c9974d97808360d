"""Rows that pass a merge or a removal as columns are written as if each had been read as a record."""

import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from changed_records import full_row
from factories import make_dataset, make_row
from hypothesis import given, settings
from hypothesis import strategies as st
from made_corrections import correct, corrections_of

from fo1_data.dataset.corrections.apply import apply_corrections
from fo1_data.dataset.corrections.latest import latest
from fo1_data.dataset.counting import count_rows
from fo1_data.dataset.parquet_files import (
    ROW_GROUP_BYTES,
    ROW_GROUP_ROWS,
    bytes_of_rows,
    encode_batches,
    encode_rows,
    ends_of_groups,
    row_bytes,
    row_group_sizes,
)
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.row_batches import replace_rows
from fo1_data.dataset.rows import rows_to_table, table_to_rows
from fo1_data.dataset.versions.merge import merge_corrections
from fo1_data.dataset.versions.remove import find_image, remove_image
from fo1_data.errors import DatasetError
from schemas.images import ImageRow
from schemas.parquet import IMAGE_SCHEMA

# As they are read: numbers are float32.
ROWS = list(table_to_rows(rows_to_table([full_row(seed, embed=seed % 2 == 0) for seed in range(4)])))
PLACES = st.integers(0, len(ROWS) - 1)


def batch_of(rows: Sequence[ImageRow]) -> pa.RecordBatch:
    return pa.concat_batches(rows_to_table(rows).to_batches())


def rewrite_file(folder: Path, number: int, records: list[dict[str, Any]]) -> None:
    """Write other records into a data file and list it in the manifest."""
    document = json.loads((folder / "manifest.json").read_text())
    file = document["files"][number]
    pq.write_table(pa.Table.from_pylist(records, schema=IMAGE_SCHEMA), folder / file["path"])
    content = (folder / file["path"]).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    file |= {"num_rows": len(records), "num_bytes": len(content), "sha256": digest}
    (folder / "manifest.json").write_text(json.dumps(document))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 999, 10**6, 3 * 10**7, ROW_GROUP_BYTES, 10**8]), max_size=30))
def test_a_row_group_holds_as_many_rows_as_fit(sizes: list[int]) -> None:
    starts = [0, *ends_of_groups(np.array(sizes, np.int64))]
    assert starts[-1] == len(sizes)
    for start, end in pairwise(starts):
        assert end == start + 1 or sum(sizes[start:end]) <= ROW_GROUP_BYTES
        assert end == len(sizes) or sum(sizes[start : end + 1]) > ROW_GROUP_BYTES
    assert ends_of_groups(np.ones(2 * ROW_GROUP_ROWS + 1, np.int64)) == [1000, 2000, 2001]


@settings(max_examples=3, deadline=None)
@given(st.lists(st.integers(1, 1_500), min_size=1, max_size=4), st.integers(0, 3))
def test_batches_of_any_size_give_the_file_of_their_rows(sizes: list[int], start: int) -> None:
    many = pa.concat_batches([batch_of(ROWS[start:])] * (sum(sizes) // (len(ROWS) - start) + 1))
    assert bytes_of_rows(many).tolist()[: 4 - start] == [row_bytes(row) for row in ROWS[start:]]
    ends = np.cumsum(sizes).tolist()
    batches = [many.slice(end - size, size) for size, end in zip(sizes, ends, strict=True)]
    rows = (ROWS[start:] * sum(sizes))[: sum(sizes)]
    assert encode_batches(batches) == (encode_rows(rows), row_group_sizes(rows))


def test_no_rows_make_an_empty_file() -> None:
    assert encode_batches([]) == (encode_rows([]), [])


@settings(max_examples=30, deadline=None)
@given(st.lists(PLACES, min_size=1, max_size=6), st.sets(st.integers(0, 5)))
def test_replaced_rows_keep_their_places(seeds: list[int], places: set[int]) -> None:
    rows = [ROWS[seed] for seed in seeds]
    others = {place: make_row(10 + place) for place in sorted(places) if place < len(rows)}
    replaced = replace_rows(batch_of(rows), others)
    assert list(table_to_rows(replaced)) == [others.get(place, row) for place, row in enumerate(rows)]


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_a_merge_writes_what_reading_every_row_would(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    make_dataset(folder / "v1", ROWS, rows_a_shard=2)
    changes = [data.draw(corrections_of(ROWS[place])) for place in data.draw(st.lists(PLACES, min_size=1))]
    merged = merge_corrections(str(folder / "v1"), changes, str(folder / "v2")).manifest
    expected = [apply_corrections(row, latest(changes)).row for row in ROWS]
    of_images = {change.image_id for change in changes}
    for number, file in enumerate(open_dataset(str(folder / "v2")).data_files()):
        rows = expected[2 * number : 2 * number + 2]
        stored = (folder / "v2" / file.path).read_bytes()
        assert stored == encode_rows(rows)
        assert file.row_group_rows == row_group_sizes(rows)
        untouched = not of_images & {row.image_id for row in rows}
        assert not untouched or stored == (folder / "v1" / file.path).read_bytes()
    assert merged.counts == count_rows(expected)


def test_rows_that_only_records_can_hold_are_written_as_they_are_read(tmp_path: Path) -> None:
    """Equal ids of older files, and columns without lists."""
    make_dataset(tmp_path / "v1", ROWS, rows_a_shard=4)
    records = [row.model_dump() for row in ROWS]
    records[1]["regions"][2]["region_id"] = records[1]["regions"][1]["region_id"]
    records[2]["answers"] = records[3]["provenance"] = None
    rewrite_file(tmp_path / "v1", 0, records)
    rows = list(open_dataset(str(tmp_path / "v1")).rows())
    change = correct(rows[0], "deleted", region_id=rows[0].regions[0].region_id)
    merge_corrections(str(tmp_path / "v1"), [change], str(tmp_path / "v2"))
    expected = [apply_corrections(row, [change]).row for row in rows]
    assert (tmp_path / "v2/data/train-00000.parquet").read_bytes() == encode_rows(expected)


def test_a_broken_row_is_refused_and_named(tmp_path: Path) -> None:
    make_dataset(tmp_path / "v1", ROWS, rows_a_shard=4)
    records = [row.model_dump() for row in ROWS]
    records[3]["regions"][0]["box_source"] = "nobody"
    rewrite_file(tmp_path / "v1", 0, records)
    with pytest.raises(DatasetError, match=rf"row '{ROWS[3].image_id}': regions.0.box_source"):
        remove_image(str(tmp_path / "v1"), ROWS[0].image_id, str(tmp_path / "v2"))


@pytest.mark.parametrize("rows_a_shard", [1, 2, 4])
def test_a_removal_writes_what_reading_every_row_would(tmp_path: Path, rows_a_shard: int) -> None:
    make_dataset(tmp_path / "v1", ROWS, rows_a_shard=rows_a_shard)
    image = find_image(str(tmp_path / "v1"), ROWS[2].uri)
    assert (image.image_id, image.files, image.num_regions) == (ROWS[2].image_id, ROWS[2].uris, 3)
    manifest = remove_image(str(tmp_path / "v1"), image.image_id, str(tmp_path / "v2"))
    left = [row for row in ROWS if row is not ROWS[2]]
    assert list(open_dataset(str(tmp_path / "v2")).rows()) == left
    assert manifest.counts == count_rows(left)
    for path in (tmp_path / "v2/data").iterdir():
        rows = list(table_to_rows(pq.read_table(path)))
        assert path.read_bytes() == encode_rows(rows)


def test_an_older_version_without_counts_of_boxes_gets_them(tmp_path: Path) -> None:
    make_dataset(tmp_path / "v1", ROWS)
    document = json.loads((tmp_path / "v1/manifest.json").read_text())
    del document["counts"]["model_boxes"]
    (tmp_path / "v1/manifest.json").write_text(json.dumps(document))
    change = correct(ROWS[0], "deleted", region_id=ROWS[0].regions[0].region_id)
    merged = merge_corrections(str(tmp_path / "v1"), [change], str(tmp_path / "v2")).manifest
    assert (merged.counts.model_boxes, merged.counts.regions) == (11, 11)
