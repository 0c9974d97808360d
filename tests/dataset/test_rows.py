"""Rows survive Arrow unchanged, and duplicates become one row."""

import numpy as np
import pyarrow as pa
import pytest
from factories import make_answer, make_count, make_reject, make_row
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.dataset.arrow_columns import to_array
from fo1_data.dataset.rows import (
    merge_duplicates,
    record_to_row,
    rejects_to_table,
    rows_to_table,
    table_to_rejects,
    table_to_rows,
)
from fo1_data.errors import DatasetError
from schemas.images import Answer, Count, EncodedImage, Grounding, ImageRow, Provenance, Reject
from schemas.labels import Label
from schemas.parquet import IMAGE_SCHEMA
from schemas.regions import Region, make_region_id

FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
TEXT = st.text(max_size=12)
INT32 = st.integers(-(2**31), 2**31 - 1)

SIGNALS = st.lists(st.fixed_dictionaries({"name": TEXT, "value": FLOAT32}), max_size=2)
LABELS = st.builds(
    Label,
    text=TEXT,
    confidence=st.none() | FLOAT32,
    signals=SIGNALS,
    reasons=st.lists(TEXT, max_size=2),
    annotator=st.none() | TEXT,
)
REGIONS = st.builds(
    Region,
    region_id=TEXT,
    index=INT32,
    box_xyxy=st.tuples(FLOAT32, FLOAT32, FLOAT32, FLOAT32),
    objectness=st.none() | FLOAT32,
    labels=st.lists(LABELS, max_size=2),
)
IDS = st.lists(TEXT, max_size=2)
ROWS = st.builds(
    ImageRow,
    uris=IDS,
    image=st.builds(EncodedImage, bytes=st.none() | st.binary(max_size=20), path=st.none() | TEXT),
    width=INT32,
    height=INT32,
    orientation=INT32,
    regions=st.lists(REGIONS, max_size=2, unique_by=lambda region: region.region_id),
    groundings=st.lists(st.builds(Grounding, phrase=TEXT, region_ids=IDS, label=LABELS), max_size=2),
    counts=st.lists(st.builds(Count, phrase=TEXT, count=INT32, region_ids=IDS, label=LABELS), max_size=1),
    answers=st.lists(st.builds(Answer, question=TEXT, answer=TEXT, label=LABELS), max_size=1),
    provenance=st.builds(Provenance, model=st.none() | TEXT),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, max_size=3))
def test_columns_made_without_pandas_are_those_of_arrow(rows: list[ImageRow]) -> None:
    records = [row.model_dump() for row in rows]
    expected = pa.Table.from_pylist(records, schema=IMAGE_SCHEMA)
    for field, column in zip(IMAGE_SCHEMA, expected.columns, strict=True):
        made = to_array([record[field.name] for record in records], field.type)
        made.validate(full=True)
        assert pa.chunked_array([made]).equals(column)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, max_size=3))
def test_rows_come_back_equal(rows: list[ImageRow]) -> None:
    table = rows_to_table(rows)
    assert table.schema.equals(IMAGE_SCHEMA, check_metadata=True)
    assert list(table_to_rows(table)) == rows


@settings(max_examples=30, deadline=None)
@given(st.lists(st.builds(Reject), max_size=3))
def test_rejects_come_back_equal(rejects: list[Reject]) -> None:
    assert table_to_rejects(rejects_to_table(rejects)) == rejects


def test_every_part_of_a_row_has_a_column() -> None:
    row = make_row(embed=True)
    row.counts, row.answers = [make_count(row.regions)], [make_answer(row.regions[0].region_id)]
    (back,) = table_to_rows(rows_to_table([row]))
    assert back == row
    assert set(IMAGE_SCHEMA.names) == set(ImageRow.model_fields)


def test_boxes_are_float32() -> None:
    row = make_row(num_regions=1)
    row.regions[0].box_xyxy = (0.1, 0.2, 10.3, 11.4)
    (back,) = table_to_rows(rows_to_table([row]))
    assert back.regions[0].box_xyxy == tuple(float(v) for v in np.float32([0.1, 0.2, 10.3, 11.4]))


@given(st.tuples(*[st.floats(0, 5000)] * 4))
def test_a_region_id_is_that_of_the_box_as_stored(box: tuple[float, float, float, float]) -> None:
    stored = tuple(float(value) for value in np.float32(box))
    assert make_region_id("a" * 64, box) == make_region_id("a" * 64, stored)
    tenths = "-".join(str(round(value * 10)) for value in stored)
    assert make_region_id("a" * 64, box) == f"{'a' * 16}/{tenths}"


def test_a_row_of_an_older_file_takes_defaults() -> None:
    record = make_row().model_dump()
    del record["answers"], record["provenance"]
    record["counts"] = None
    row = record_to_row(record)
    assert (row.answers, row.counts, row.provenance) == ([], [], Provenance())


def test_a_broken_row_is_named() -> None:
    with pytest.raises(DatasetError, match=r"row 'x'.*uri"):
        record_to_row({"image_id": "x"})


def test_the_first_of_equal_images_stays_and_names_all_places() -> None:
    one, other = make_row(1, uri="a.png"), make_row(2, uri="b.png")
    again = make_row(1, uri="c.png", caption="the later one")
    merged = merge_duplicates([one, other, again, again])
    assert [row.uris for row in merged] == [["a.png", "c.png"], ["b.png"]]
    assert merged[0].caption is None
    assert one.uris == ["a.png"]


def test_a_reject_keeps_its_corpus_entry() -> None:
    (back,) = table_to_rejects(rejects_to_table([make_reject()]))
    assert back == make_reject()
