"""Python values and NumPy arrays as Arrow columns, and back, without pandas.

`pyarrow.array`, `pyarrow.scalar` and `to_numpy` import pandas wherever it is installed, which costs a process
0.2 to 0.9 s and 60 MB. Here NumPy makes the buffers: for records that takes 0.2 ms more a row, so that many
rows at once are left to Arrow.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_MANY_RECORDS = 1000


def records_to_table(records: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """The records as a table of `schema`: a key that a record lacks is null, other keys are left out.

    Raises ValueError or TypeError for a value of another type (pa.ArrowInvalid is a ValueError),
    UnicodeEncodeError for half of a surrogate pair, pa.ArrowCapacityError for a column of more than 2 GiB.
    """
    if len(records) >= _MANY_RECORDS or "pandas" in sys.modules:
        return pa.Table.from_pylist(list(records), schema=schema)
    columns = [to_array([record.get(field.name) for record in records], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def to_array(values: list[Any], data_type: pa.DataType) -> pa.Array:
    """Booleans, numbers, texts, bytes, or lists and structs of them as an array; None is null."""
    num_null = values.count(None)
    validity = _bits([value is not None for value in values]) if num_null else None
    if pa.types.is_struct(data_type):
        records = [value if value is not None else {} for value in values] if num_null else values
        children = [
            to_array([record.get(field.name) for record in records], field.type) for field in data_type
        ]
        return pa.Array.from_buffers(data_type, len(values), [validity], num_null, children=children)
    if pa.types.is_fixed_size_list(data_type):
        empty = (0,) * data_type.list_size
        items = [item for value in values for item in (empty if value is None else value)]
        if len(items) != len(values) * data_type.list_size:
            raise pa.ArrowInvalid(f"a list of {data_type.list_size} items has another length")
        child = to_array(items, data_type.value_type)
        return pa.Array.from_buffers(data_type, len(values), [validity], num_null, children=[child])
    if pa.types.is_list(data_type):
        lists = [value if value is not None else () for value in values] if num_null else values
        child = to_array([item for items in lists for item in items], data_type.value_type)
        offsets = _offsets([len(items) for items in lists])
        return pa.Array.from_buffers(data_type, len(values), [validity, offsets], num_null, children=[child])
    if pa.types.is_string(data_type) or pa.types.is_binary(data_type):
        texts = [value if value is not None else b"" for value in values] if num_null else values
        parts = [text.encode() if isinstance(text, str) else text for text in texts]
        offsets = _offsets([len(part) for part in parts])
        buffers = [validity, offsets, pa.py_buffer(b"".join(parts))]
        return pa.Array.from_buffers(data_type, len(values), buffers, num_null)
    if pa.types.is_boolean(data_type):
        return pa.Array.from_buffers(data_type, len(values), [validity, _bits(values)], num_null)
    numbers = [value if value is not None else 0 for value in values] if num_null else values
    data = pa.py_buffer(np.array(numbers, data_type.to_pandas_dtype()))
    return pa.Array.from_buffers(data_type, len(values), [validity, data], num_null)


def numpy_to_array(values: npt.NDArray[Any]) -> pa.Array:
    """Numbers or booleans (N,) as an array without nulls."""
    is_flags = values.dtype == np.bool_
    data = _bits(values) if is_flags else pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, data])


def to_scalar(value: Any, data_type: pa.DataType) -> pa.Scalar:
    """One value for a function of `pyarrow.compute`, which makes its own by `pyarrow.scalar`."""
    return to_array([value], data_type)[0]


def nullable_array(
    values: npt.NDArray[Any], is_present: npt.NDArray[np.bool_], data_type: pa.DataType
) -> pa.Array:
    """Numbers (N,) as an array that is null where `is_present` is false."""
    data = pa.py_buffer(np.ascontiguousarray(values, data_type.to_pandas_dtype()))
    return pa.Array.from_buffers(data_type, len(values), [_bits(is_present), data])


def with_members(structs: pa.StructArray, members: Mapping[str, pa.Array]) -> pa.StructArray:
    """The structs, none of them null, with other values of these members."""
    children = [
        members[field.name] if field.name in members else pc.struct_field(structs, field.name)
        for field in structs.type
    ]
    return pa.Array.from_buffers(structs.type, len(structs), [None], 0, children=children)


def with_items(lists: pa.ListArray, items: pa.Array) -> pa.ListArray:
    """The lists, none of them null, with other items of the same type, as many in each."""
    ends = np.zeros(len(lists) + 1, np.int32)
    np.cumsum(array_to_numpy(lists.value_lengths()), out=ends[1:])
    return pa.Array.from_buffers(lists.type, len(lists), [None, pa.py_buffer(ends)], 0, children=[items])


def filtered_items(lists: pa.ListArray, keep: npt.NDArray[np.bool_]) -> pa.ListArray:
    """The lists, none of them null, with the items at which `keep`, (items of all lists,), is true."""
    owners = array_to_numpy(pc.list_parent_indices(lists))
    ends = np.zeros(len(lists) + 1, np.int32)
    np.cumsum(np.bincount(owners[keep], minlength=len(lists)), out=ends[1:])
    items = pc.list_flatten(lists).filter(numpy_to_array(keep))
    return pa.Array.from_buffers(lists.type, len(lists), [None, pa.py_buffer(ends)], 0, children=[items])


def array_to_numpy(array: pa.Array) -> npt.NDArray[Any]:
    """Numbers or booleans (N,), none of them null."""
    if pa.types.is_boolean(array.type):
        return np.asarray(array_to_numpy(array.cast(pa.uint8())), np.bool_)
    return np.from_dlpack(array)


def _bits(flags: Sequence[Any] | npt.NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(np.array(flags, bool), bitorder="little"))


def _offsets(lengths: list[int]) -> pa.Buffer:
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    if ends[-1] > np.iinfo(np.int32).max:
        raise pa.ArrowCapacityError(f"{ends[-1]} bytes or items in one column: an array holds 2 GiB")
    return pa.py_buffer(ends.astype(np.int32))
