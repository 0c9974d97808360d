"""Datasets compared by columns differ where their rows differ, whatever their order and files."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from changed_records import changed_records, full_row
from factories import make_dataset, make_row

from fo1_data.dataset.row_form import irregular_rows
from fo1_data.dataset.rows import record_to_row
from fo1_data.dataset.versions.compare import compare_datasets, describe_changes, differing_columns
from fo1_data.dataset.versions.equal_rows import differing_rows
from fo1_data.masks import encode_mask
from schemas.images import ImageRow
from schemas.labels import Signal
from schemas.parquet import IMAGE_SCHEMA
from schemas.regions import MaskRle


def test_every_change_of_a_row_is_a_difference() -> None:
    record = full_row().model_dump()
    changed = pa.RecordBatch.from_pylist(list(changed_records(record)), schema=IMAGE_SCHEMA)
    # All are of one image, so each is asked alone whether it can be read.
    regular = [not irregular_rows(changed.slice(place, 1))[0] for place in range(len(changed))]
    changed = changed.filter(pa.array(regular))
    sound = pa.RecordBatch.from_pylist([record] * len(changed), schema=IMAGE_SCHEMA)
    row = record_to_row(sound.slice(0, 1).to_pylist()[0])
    expected = [bool(differing_columns(row, record_to_row(other))) for other in changed.to_pylist()]
    found = differing_rows(sound, changed)
    assert sum(expected) > 300
    # Other bytes of an image are a difference of columns alone.
    assert (found | ~np.array(expected)).all()
    assert (found & ~np.array(expected)).sum() <= 2


@pytest.mark.parametrize("by", [0.0, 0.9e-4, 1.1e-4, float("inf"), float("nan")])
def test_numbers_may_differ_by_a_little(by: float) -> None:
    rows = [full_row(seed) for seed in range(2)]
    for row in rows:
        row.regions[0].labels[0].signals = [Signal(name="margin", value=0.0)]
    others = [row.model_copy(deep=True) for row in rows]
    others[1].regions[0].labels[0].signals = [Signal(name="margin", value=by)]
    batches = (
        pa.RecordBatch.from_pylist([row.model_dump() for row in some], schema=IMAGE_SCHEMA)
        for some in (rows, others)
    )
    assert differing_rows(*batches).tolist() == [False, not by <= 1e-4]


def test_a_changed_mask_is_named() -> None:
    masks = [encode_mask(np.arange(48 * 64).reshape(48, 64) < end) for end in (100, 200)]

    def row_with(mask: MaskRle | None, **fields: object) -> ImageRow:
        row = make_row(1)
        row.regions[0] = row.regions[0].model_copy(update={"mask_rle": mask, **fields})
        return row

    def change(row: ImageRow, other: ImageRow) -> str:
        (told,) = describe_changes(row, other, ["regions"])
        return told.removeprefix("box 0 ").replace('"red square"', "it")

    plain, first, second = row_with(None), row_with(masks[0]), row_with(masks[1])
    assert change(first, second) == "it: another mask"
    assert change(plain, first) == "it: a mask"
    assert change(first, plain) == "it: no mask"
    assert change(first, row_with(masks[0], objectness=0.1)) == "it: other labels, decisions or scores"
    told = change(first, row_with(masks[1], objectness=0.1))
    assert told == "it: another mask, other labels, decisions or scores"
    assert change(first, row_with(masks[1], brief_caption="a ring")) == 'it -> "a ring", another mask'


def test_datasets_are_compared_in_any_order_and_in_any_files(tmp_path: Path) -> None:
    rows = [make_row(seed) for seed in range(12)]
    changed = rows[4].model_copy(update={"caption": "a whale"})
    moved = full_row(7)
    first = [*rows[:7], full_row(7, caption="as it was"), *rows[8:10]]
    second = [rows[9], rows[2], rows[11], changed, moved, *rows[:2], rows[8], rows[6]]
    make_dataset(tmp_path / "a", first, rows_a_shard=4)
    make_dataset(tmp_path / "b", second, rows_a_shard=2)
    found = compare_datasets(str(tmp_path / "a"), str(tmp_path / "b"))
    assert found.only_a == ids_of([rows[3], rows[5]])
    assert found.only_b == ids_of([rows[11]])
    assert list(found.changed) == ids_of([changed, moved])
    assert found.changes[changed.image_id] == ['caption nothing -> "a whale"']
    assert found.equal == 6
    assert set(found.files) == {*found.only_a, *found.only_b, *found.changed}


def ids_of(rows: list[ImageRow]) -> list[str]:
    return [row.image_id for row in rows]


def test_files_that_both_share_are_equal_under_any_name(tmp_path: Path) -> None:
    rows = [make_row(seed) for seed in range(4)]
    later = rows[0].model_copy(update={"caption": "a whale"})
    make_dataset(tmp_path / "a", rows, rows_a_shard=2)
    make_dataset(tmp_path / "b", rows, rows_a_shard=2)
    assert compare_datasets(str(tmp_path / "a"), str(tmp_path / "b")).is_empty
    make_dataset(tmp_path / "c", [*rows[2:], rows[1], later], rows_a_shard=2)
    assert list(compare_datasets(str(tmp_path / "a"), str(tmp_path / "c")).changed) == [later.image_id]
