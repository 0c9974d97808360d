"""Rows made column by column are those that records give, but for the signals; so are rows by position."""

import pickle
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from changed_records import changed_records, full_row, of_image
from factories import make_dataset, make_row
from hypothesis import given, settings
from hypothesis import strategies as st
from test_rows import ROWS

from fo1_data.dataset.columns_to_rows import columns_to_rows
from fo1_data.dataset.light_rows import light_rows
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.row_batches import rows_to_batch
from fo1_data.dataset.row_form import irregular_rows
from fo1_data.dataset.rows import table_to_rows
from fo1_data.dataset.rows_by_place import rows_at
from fo1_data.dataset.stored_rows import write_file
from fo1_data.errors import DatasetError
from fo1_data.storage.store import open_store
from schemas.images import EncodedImage, ImageRow
from schemas.labels import Label
from schemas.parquet import IMAGE_SCHEMA

VERSION_1 = str(Path(__file__).parent / "version_1")


def light(rows: Iterable[ImageRow], *, pixels: bool = True) -> list[ImageRow]:
    """The rows without signals, made of the rows with signals."""
    copies = [row.model_copy(deep=True) for row in rows]
    for row in copies:
        labels: list[Label] = [*row.all_labels(), *([row.caption_label] if row.caption_label else [])]
        for label in labels:
            label.signals = []
        if not pixels:
            row.image = EncodedImage(path=row.image.path)
    return copies


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=4), st.integers(0, 3))
def test_rows_of_columns_are_those_of_records(rows: list[ImageRow], start: int) -> None:
    batch = rows_to_batch(rows).slice(start)
    made = columns_to_rows(batch)
    assert made == list(table_to_rows(batch)) == rows[start:]
    assert list(map(repr, made)) == list(map(repr, rows[start:]))


def test_every_regular_row_is_made_as_its_record_says() -> None:
    row = full_row(embed=True)
    records = enumerate(changed_records(row.model_dump()))
    of_images = [of_image(record, row.image_id[:16], f"{number:016x}") for number, record in records]
    batch = pa.RecordBatch.from_pylist(of_images, schema=IMAGE_SCHEMA)
    regular = batch.filter(pa.array(~irregular_rows(batch)))
    assert regular.num_rows > 300
    # As texts: NaN is not equal to itself.
    assert list(map(repr, columns_to_rows(regular))) == list(map(repr, table_to_rows(regular)))


def test_a_row_of_columns_is_a_row_like_any_other() -> None:
    (row,) = columns_to_rows(rows_to_batch([full_row()]))
    assert pickle.loads(pickle.dumps(row)) == row == row.model_copy(deep=True)
    assert ImageRow.model_validate(row.model_dump()) == row
    row.regions[0].labels[0].reasons.append("seen")
    row.regions[0].labels[0].confidence = 0.25
    row.regions[1].objectness = None
    assert [label.reasons for label in row.regions[1].labels] == [[], ["given"]]
    assert row.model_fields_set == set(ImageRow.model_fields)


@pytest.mark.parametrize("pixels", [True, False])
def test_light_rows_are_all_rows_without_signals(tmp_path: Path, pixels: bool) -> None:
    rows = [full_row(seed, embed=seed % 2 == 0, split=("train", "test")[seed % 2]) for seed in range(5)]
    make_dataset(tmp_path / "d", rows)
    dataset = open_dataset(str(tmp_path / "d"))
    assert any(row.regions[0].labels[0].signals for row in dataset.rows())
    assert list(light_rows(dataset, pixels=pixels)) == light(dataset.rows(), pixels=pixels)
    assert list(light_rows(dataset, "test", pixels=pixels)) == light(dataset.rows("test"), pixels=pixels)
    assert list(light_rows(dataset, signals=True)) == list(dataset.rows())


def test_an_older_dataset_has_light_rows() -> None:
    rows = list(light_rows(open_dataset(VERSION_1)))
    assert light(rows) == light(open_dataset(VERSION_1).rows())
    assert rows[0].caption_label is not None


def test_rows_that_need_validation_are_read_as_before(tmp_path: Path) -> None:
    """Equal ids of an older writer are numbered, a missing list is empty, a broken row is an error."""
    manifest = make_dataset(tmp_path / "d", [full_row(seed) for seed in range(3)], rows_a_shard=3)
    path = next(file.path for file in manifest.files if file.path.startswith("data/"))
    records = [row.model_dump() for row in open_dataset(str(tmp_path / "d")).rows()]
    records[1]["regions"][2]["region_id"] = records[1]["regions"][1]["region_id"]
    records[1]["answers"] = None
    _replace_file(tmp_path / "d", path, records)
    dataset = open_dataset(str(tmp_path / "d"))
    rows = list(light_rows(dataset))
    assert light(rows) == light(dataset.rows())
    assert rows[1].regions[2].region_id.endswith("/2")
    records[2]["groundings"][0]["label"]["kind"] = "guess"
    _replace_file(tmp_path / "d", path, records)
    with pytest.raises(DatasetError, match=r"groundings\.0\.label\.kind"):
        list(light_rows(dataset))


def _replace_file(folder: Path, path: str, records: list[dict[str, object]]) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(records, schema=IMAGE_SCHEMA), sink)
    write_file(open_store(str(folder)), path, bytes(sink.getvalue()), len(records))


def test_rows_are_found_by_their_positions(tmp_path: Path) -> None:
    rows = [make_row(seed, 1) for seed in range(11)]
    make_dataset(tmp_path / "d", rows, rows_a_shard=4)
    dataset = open_dataset(str(tmp_path / "d"))
    everything = list(dataset.rows())
    assert rows_at(dataset, [7, 0, 10, 3, 4]) == [everything[place] for place in (7, 0, 10, 3, 4)]
    assert rows_at(dataset, []) == []
    assert rows_at(dataset, range(11)) == everything
