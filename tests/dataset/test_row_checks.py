"""The checks of whole columns find what reading row by row finds, in files of both schema versions."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from changed_records import changed_records, full_row, of_image
from factories import make_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.dataset.counting import count_batch, count_row, count_rows
from fo1_data.dataset.reader import Dataset, open_dataset
from fo1_data.dataset.row_checks import doubtful_rows
from fo1_data.dataset.row_form import has_columns_of_rows, irregular_rows
from fo1_data.dataset.row_problems import row_problems
from fo1_data.dataset.rows import record_to_row
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.version_1 import VERSION_1_SCHEMA
from fo1_data.errors import DatasetError
from schemas.dataset import Counts
from schemas.labels import OPINION_REFUSED, Signal, Source
from schemas.parquet import IMAGE_SCHEMA

SCHEMAS = {"version 1": VERSION_1_SCHEMA, "version 2": IMAGE_SCHEMA}


def batch_of(records: list[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(records, schema=schema)


def problems_of(record: dict[str, Any]) -> list[str]:
    """What reading the record finds."""
    try:
        return list(row_problems(record_to_row(record), "train"))
    except DatasetError as error:
        return [str(error)]


@pytest.fixture(scope="module", params=SCHEMAS)
def batch(request: pytest.FixtureRequest) -> pa.RecordBatch:
    """Rows in which one value differs from those of a sound row, each value in many ways."""
    row = full_row()
    records = enumerate(changed_records(row.model_dump()))
    of_images = [of_image(record, row.image_id[:16], f"{number:016x}") for number, record in records]
    return batch_of(of_images, SCHEMAS[request.param])


def test_every_row_with_a_problem_is_doubtful_and_hardly_any_other(batch: pa.RecordBatch) -> None:
    assert has_columns_of_rows(batch.schema)
    doubtful = doubtful_rows(batch, "train")
    senseless = np.array([bool(problems_of(record)) for record in batch.to_pylist()])
    assert senseless.sum() > 400
    assert not (senseless & ~doubtful).any()
    # A null list of a row is read as an empty one, equal ids are numbered: they are read as records too.
    assert (doubtful & ~senseless).sum() < 15


def test_rows_of_one_batch_are_told_apart() -> None:
    records = [full_row(seed, embed=seed % 2 == 0).model_dump() for seed in range(9)]
    records[2]["regions"][1]["objectness"] = 2.0
    records[5]["answers"][0]["label"]["kind"] = "guess"
    records[7]["counts"][0]["region_ids"].append(records[6]["regions"][0]["region_id"])
    assert np.flatnonzero(doubtful_rows(batch_of(records, IMAGE_SCHEMA), "train")).tolist() == [2, 5, 7]
    assert doubtful_rows(batch_of(records, IMAGE_SCHEMA), "test").all()
    assert np.flatnonzero(irregular_rows(batch_of(records, IMAGE_SCHEMA))).tolist() == [5]


def test_a_regular_row_stays_as_it_is(batch: pa.RecordBatch) -> None:
    regular = batch.filter(pa.array(~irregular_rows(batch)))
    rows = [record_to_row(record) for record in regular.to_pylist()]
    assert len(rows) > 300
    if batch.schema == IMAGE_SCHEMA:
        written = pa.RecordBatch.from_pylist([row.model_dump() for row in rows], schema=IMAGE_SCHEMA)
        # Equal as text: two numbers that are not finite are never equal.
        assert str(written.to_pylist()) == str(regular.to_pylist())
    assert count_batch(regular) == count_rows(rows)


def test_a_guess_that_version_1_only_quotes_is_not_counted() -> None:
    metas = [{"box_frame_guess": "stored"}, {"source_caption": "box_frame_guess"}, None]
    records = [full_row(meta=meta and json.dumps(meta)).model_dump() for meta in metas]
    assert count_batch(batch_of(records, VERSION_1_SCHEMA)).guessed_frames == 1
    assert count_batch(batch_of(records, IMAGE_SCHEMA)).guessed_frames == 2


def test_labels_without_the_answer_of_a_second_model_are_counted() -> None:
    row = full_row()
    refused = Signal(name=OPINION_REFUSED, value=2)
    labels = row.all_labels()
    for label in labels[:3]:
        label.signals = [*label.signals, refused]
    assert (
        count_row(row).refused_opinions == sum(label.source is not Source.CORPUS for label in labels[:3]) > 0
    )
    assert count_batch(batch_of([row.model_dump()], IMAGE_SCHEMA)) == count_row(row)


def row_by_row(dataset: Dataset) -> Iterator[str]:
    """The findings of the rows, each read as a record."""
    counts, seen, whole = Counts(rejected=sum(1 for _ in dataset.rejects())), dict[str, str](), True
    for file in dataset.data_files():
        try:
            for number, row in enumerate(dataset.rows_of(file), start=1):
                counts += count_row(row)
                where = f"{file.path}: image {row.image_id[:16] or f'of row {number}'}"
                yield from (f"{where}: {problem}" for problem in row_problems(row, "train"))
                if row.image_id in seen:
                    yield f"{where}: also a row of {seen[row.image_id]}"
                seen[row.image_id] = file.path
        except DatasetError as error:
            whole = False
            yield f"{file.path}: cannot be read: {error}"
    for name, value in counts.model_dump().items():
        declared = getattr(dataset.manifest.counts, name)
        if whole and value != declared and (dataset.manifest.counts.knows_boxes or "_boxes" not in name):
            yield f"manifest.json: counts.{name} is {declared}, the files hold {value}"


RECORDS = [full_row(seed, embed=True).model_dump() for seed in range(4)]
CHANGED = [record for sound in RECORDS for record in (sound, *changed_records(sound))]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two data files."""
    folder = tmp_path_factory.mktemp("sound") / "d"
    make_dataset(folder, [full_row(seed, embed=True) for seed in range(4)], rows_a_shard=2)
    return folder


@settings(max_examples=30, deadline=None)
@given(
    places=st.lists(st.integers(0, len(CHANGED) - 1), min_size=2, max_size=6),
    schema=st.sampled_from(list(SCHEMAS)).map(SCHEMAS.__getitem__),
    without=st.none() | st.sampled_from(IMAGE_SCHEMA.names),
)
def test_a_dataset_has_the_findings_of_reading_it_row_by_row(
    sound: Path, places: list[int], schema: pa.Schema, without: str | None
) -> None:
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "d"
        shutil.copytree(sound, out)
        document = json.loads((out / "manifest.json").read_text())
        columns = [column for column in schema.names if column != without]
        for number, file in enumerate(document["files"][:2]):
            records = [CHANGED[place] for place in places[number::2]]
            table = pa.Table.from_pylist(records, schema=schema).select(columns)
            pq.write_table(table, out / file["path"], row_group_size=2)
            content = (out / file["path"]).read_bytes()
            file |= {"num_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (out / "manifest.json").write_text(json.dumps(document))
        assert validate_dataset(str(out)) == list(row_by_row(open_dataset(str(out))))
