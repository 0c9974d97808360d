"""The values of nested columns, flat, each with the row that it belongs to.

`Items.of(batch)["regions"].each["labels"].each["confidence"]` are the confidences of all labels of all
regions of a batch, one after another. Checks and counts of whole columns are made of these.
"""

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.dataset.arrow_columns import array_to_numpy, numpy_to_array, to_scalar

# Positions of rows in a batch, one for each value.
Rows = npt.NDArray[np.int64]
_FALSE = to_scalar(False, pa.bool_())


class Items:
    """N values of one type, and the rows (N,) that they belong to. Members are computed once."""

    def __init__(self, values: pa.Array, rows: Rows) -> None:
        self.values = values
        self.rows = rows
        self._members: dict[str, Items] = {}

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> "Items":
        """The rows of a batch, as structs."""
        return cls(batch.to_struct_array(), np.arange(batch.num_rows))

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, name: str) -> bool:
        return bool(self.values.type.get_field_index(name) >= 0)

    def __getitem__(self, name: str) -> "Items":
        """A member of every struct; null where the struct is null."""
        if name not in self._members:
            self._members[name] = Items(pc.struct_field(self.values, name), self.rows)
        return self._members[name]

    @cached_property
    def each(self) -> "Items":
        """The elements of every list; a null list has none."""
        return Items(pc.list_flatten(self.values), self.rows[self.owners])

    @cached_property
    def owners(self) -> Rows:
        """For each element of `each` the position of its list among these values."""
        return array_to_numpy(pc.list_parent_indices(self.values))

    @cached_property
    def present(self) -> "Items":
        """Those that are not null."""
        return self if not self.values.null_count else self.where(self.values.is_valid())

    def at(self, places: Rows) -> pa.Array:
        """The values at these positions."""
        return self.values.take(numpy_to_array(places))

    def where(self, mask: pa.BooleanArray) -> "Items":
        """Those for which `mask` is true."""
        return Items(self.values.filter(mask), self.rows[_to_numpy(mask)])

    def rows_unless(self, mask: pa.BooleanArray | npt.NDArray[np.bool_]) -> Rows:
        """The rows of those for which `mask` is false, or null."""
        return self.rows[~_to_numpy(mask)]

    def numpy(self) -> npt.NDArray[Any]:
        """The values as an array (N,); none may be null."""
        return array_to_numpy(self.values)


def _to_numpy(mask: pa.BooleanArray | npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    if isinstance(mask, np.ndarray):
        return mask
    return array_to_numpy(pc.fill_null(mask, _FALSE) if mask.null_count else mask)


def labels_of(row: Items) -> list[Items]:
    """The labels of regions, groundings, counts and answers (`ImageRow.all_labels`) of a batch's rows."""
    parts = [row[column].each["label"] for column in ("groundings", "counts", "answers")]
    return [row["regions"].each["labels"].each, *parts]
