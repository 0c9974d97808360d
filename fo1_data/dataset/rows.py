"""Rows to Arrow and back, by the explicit schemas of `schemas.parquet`; nothing is inferred.

Floats are stored as float32: a row whose numbers are float32 values comes back equal. Records of schema
version 1 are read as rows of version 2, and regions that share an id get ids of their own. Does no input or
output.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from fo1_data.dataset.arrow_columns import records_to_table
from fo1_data.dataset.equal_regions import number_equal_regions
from fo1_data.dataset.version_1 import is_version_1, upgrade_record
from fo1_data.errors import DatasetError
from schemas.images import ImageRow, Reject
from schemas.parquet import IMAGE_SCHEMA, REJECT_SCHEMA
from schemas.problems import problem_of_written

_LIST_COLUMNS = ("uris", "regions", "groundings", "counts", "answers")


def rows_to_table(rows: Sequence[ImageRow]) -> pa.Table:
    """The rows as one table of `IMAGE_SCHEMA`, its `huggingface` metadata included."""
    return records_to_table([row.model_dump() for row in rows], IMAGE_SCHEMA)


def rejects_to_table(rejects: Sequence[Reject]) -> pa.Table:
    """The rejects as one table of `REJECT_SCHEMA`."""
    return records_to_table([reject.model_dump() for reject in rejects], REJECT_SCHEMA)


def record_to_row(record: dict[str, Any]) -> ImageRow:
    """One record of a Parquet file, of any schema version, as a row. Raises DatasetError if it is broken."""
    if is_version_1(record):
        record = upgrade_record(record)
    number_equal_regions(record)
    fields = {name: value for name, value in record.items() if name in ImageRow.model_fields}
    for name in _LIST_COLUMNS:
        if fields.get(name) is None:
            fields[name] = []
    if fields.get("provenance") is None:
        fields.pop("provenance", None)
    if fields.get("image") is None:
        fields["image"] = {}
    try:
        return ImageRow.model_validate(fields)
    except ValidationError as error:
        raise DatasetError(f"row {record.get('image_id')!r}: {problem_of_written(error)}") from error


def table_to_rows(table: pa.Table | pa.RecordBatch) -> Iterator[ImageRow]:
    """The rows of a table or record batch, in order. Raises DatasetError on a broken one."""
    return (record_to_row(record) for record in table.to_pylist())


def table_to_rejects(table: pa.Table | pa.RecordBatch) -> list[Reject]:
    """The rejects of a table, in order. Raises DatasetError on a broken one."""
    try:
        return [Reject.model_validate(record) for record in table.to_pylist()]
    except ValidationError as error:
        raise DatasetError(f"rejects: {problem_of_written(error)}") from error


def merge_duplicates(rows: Iterable[ImageRow]) -> list[ImageRow]:
    """One row per `image_id`: the first stays, in its place, with all addresses in `uris`."""
    kept: dict[str, ImageRow] = {}
    for row in rows:
        first = kept.get(row.image_id)
        kept[row.image_id] = row if first is None else with_uris(first, row.uris)
    return list(kept.values())


def with_uris(row: ImageRow, more: Iterable[str]) -> ImageRow:
    """A copy of the row with the addresses `more` added, each once, in order."""
    return row.model_copy(update={"uris": list(dict.fromkeys([*row.uris, *more]))})
