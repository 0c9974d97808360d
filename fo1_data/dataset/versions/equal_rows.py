"""Which rows of two batches differ, by whole columns.

Rows are equal as in `compare`: floats within `TOLERANCE`, all else exactly. A row that is named may still be
equal once it is read as a record; one that is not named is equal.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.dataset.items import Items, Rows

TOLERANCE = 1e-4


def differing_rows(first: pa.RecordBatch, second: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """True (N,) for the rows that differ from the row at the same place of the other batch.

    Columns that only one batch has differ in every row; `provenance` is not compared.
    """
    differs = np.zeros(first.num_rows, bool)
    columns = [name for name in first.schema.names if name != "provenance"]
    if {*columns} != {*second.schema.names} - {"provenance"}:
        return ~differs
    for rows in _differing(Items.of(first.select(columns)), Items.of(second.select(columns))):
        differs[rows] = True
    return differs


def _differing(first: Items, second: Items) -> Iterator[Rows]:
    """The rows of values that differ. Both have as many values, of the same rows."""
    kind = first.values.type
    if kind != second.values.type:
        yield first.rows
        return
    yield first.rows_unless(pc.equal(first.values.is_valid(), second.values.is_valid()))
    first, second = _where_both(first, second, pc.and_(first.values.is_valid(), second.values.is_valid()))
    if pa.types.is_struct(kind):
        for field in kind:
            yield from _differing(first[field.name], second[field.name])
    elif pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        same_length = pc.equal(*(pc.list_value_length(items.values) for items in (first, second)))
        yield first.rows_unless(same_length)
        first, second = _where_both(first, second, same_length)
        yield from _differing(first.each, second.each)
    elif pa.types.is_floating(kind):
        numbers, others = (items.numpy().astype(np.float64) for items in (first, second))
        with np.errstate(invalid="ignore"):
            yield first.rows_unless((numbers == others) | (np.abs(numbers - others) <= TOLERANCE))
    else:
        yield first.rows_unless(pc.equal(first.values, second.values))


def _where_both(first: Items, second: Items, mask: pa.BooleanArray) -> tuple[Items, Items]:
    return (first, second) if mask.true_count == len(mask) else (first.where(mask), second.where(mask))
