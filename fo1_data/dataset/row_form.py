"""Which rows of a batch can stay columns, and which must be read one by one as records.

A regular row holds what the models of `schemas.images` ask for, as they would write it: no value is
missing, every enum has one of its words, and its regions have ids of their own. Reading such a row as an
`ImageRow` and writing it again changes nothing. `irregular_rows` finds all others, and may name one of these.
"""

from collections.abc import Iterator
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from fo1_data.dataset.added_members import FIRST_VERSION_2_SCHEMA
from fo1_data.dataset.arrow_columns import numpy_to_array, to_array
from fo1_data.dataset.items import Items, Rows
from fo1_data.dataset.version_1 import VERSION_1_SCHEMA, is_version_1
from schemas.images import ImageRow
from schemas.parquet import IMAGE_SCHEMA


def has_columns_of_rows(schema: pa.Schema) -> bool:
    """Whether a file has every column of its schema version, with its type; other columns do not count."""
    if is_version_1(schema.names):
        return _has_columns(schema, VERSION_1_SCHEMA)
    return _has_columns(schema, IMAGE_SCHEMA) or _has_columns(schema, FIRST_VERSION_2_SCHEMA)


def _has_columns(schema: pa.Schema, expected: pa.Schema) -> bool:
    return all(
        field.name in schema.names and schema.field(field.name).type.equals(field.type) for field in expected
    )


def irregular_rows(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """True (N,) for the rows that have to be read as records. `batch`: see `has_columns_of_rows`."""
    row = Items.of(batch)
    irregular = np.zeros(batch.num_rows, bool)
    for rows in (*_unfit(row, ImageRow), _equal_ids(row)):
        irregular[rows] = True
    return irregular


def _unfit(items: Items, annotation: Any) -> Iterator[Rows]:
    """The rows of values that a field of a model, with this annotation, does not take."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    if type(None) not in kinds and items.values.null_count:
        yield items.rows_unless(items.values.is_valid())
    kind, present = kinds[0], items.present
    if get_origin(kind) in (list, tuple):
        yield from _unfit(present.each, get_args(kind)[0])
    elif issubclass(kind, Enum):
        words = to_array([word.value for word in kind], pa.string())
        yield present.rows_unless(pc.is_in(present.values, value_set=words))
    elif issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            if name in present:  # All are, but those that older files do not have.
                yield from _unfit(present[name], field.annotation)


def _equal_ids(row: Items) -> Rows:
    """The rows with an id of a region that comes twice in the batch."""
    ids = row["regions"].each["region_id"]
    first = pc.index_in(ids.values, value_set=ids.values)
    return ids.rows_unless(pc.equal(first, numpy_to_array(np.arange(len(ids), dtype=np.int32))))
