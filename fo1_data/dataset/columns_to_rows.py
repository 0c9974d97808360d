"""Arrow columns to rows, column by column: as `rows.table_to_rows` for regular rows, and many times as fast.

Nothing is validated: `row_form.irregular_rows` has to call every row regular. Columns that are absent get the
default of their field. Does no input or output.
"""

from collections import deque
from collections.abc import Callable, Iterable
from copy import copy
from enum import StrEnum
from itertools import repeat
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from fo1_data.dataset.arrow_columns import array_to_numpy
from fo1_data.dataset.collection import without_collection
from schemas.images import ImageRow

# The Python values of a column, one for each place.
Converter = Callable[[pa.Array], list[Any]]

Struct = TypeVar("Struct", bound=BaseModel)

# What an instance of a model consists of. Models check attributes that are set on them; these need no check.
_SET_ATTRIBUTES = tuple(vars(BaseModel)[name].__set__ for name in BaseModel.__slots__)


def columns_to_rows(batch: pa.RecordBatch) -> list[ImageRow]:
    """The rows of a batch of regular rows, in order; it may lack columns, also of its structs."""
    with without_collection():
        return _ROWS(batch.to_struct_array())


def columns_to_structs(array: pa.StructArray, model: type[Struct]) -> list[Struct]:
    """The values of a column of structs, none of them null, as instances of their model."""
    with without_collection():
        return _model_converter(model)(array)


def _instances(model: type[BaseModel], columns: list[list[Any]], num: int) -> list[Any]:
    """`num` instances of a model from the values of its fields, in the order of the fields.

    As `model_construct`, but each step is done for all instances at once.
    """
    names = tuple(model.model_fields)
    instances = list(map(object.__new__, repeat(model, num)))
    values: tuple[Iterable[Any], ...] = (
        map(dict, map(zip, repeat(names), zip(*columns, strict=True))),
        repeat(set(names)),
        repeat(None),
        repeat(None),
    )
    for set_attribute, of_instances in zip(_SET_ATTRIBUTES, values, strict=True):
        deque(map(set_attribute, instances, of_instances), maxlen=0)
    return instances


def _converter_of(annotation: Any) -> Converter:
    """The converter of a column whose values a field with this annotation holds."""
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (option for option in get_args(annotation) if option is not NoneType)
    convert = _converter_of_present(annotation)

    def convert_nullable(array: pa.Array) -> list[Any]:
        if not array.null_count:
            return convert(array)
        values: list[Any] = [None] * len(array)
        present = np.flatnonzero(array_to_numpy(array.is_valid()))
        if len(present):
            for place, value in zip(present.tolist(), convert(array.drop_null()), strict=True):
                values[place] = value
        return values

    return convert_nullable


def _converter_of_present(annotation: Any) -> Converter:
    """The converter of a column without nulls."""
    if get_origin(annotation) is list:
        return _list_converter(_converter_of(get_args(annotation)[0]))
    if get_origin(annotation) is tuple:
        return _box_values
    if issubclass(annotation, BaseModel):
        return _model_converter(annotation)
    if issubclass(annotation, StrEnum):
        return _enum_converter(annotation)
    return _plain_values


def _plain_values(array: pa.Array) -> list[Any]:
    return list(array.to_pylist())


def _box_values(array: pa.Array) -> list[Any]:
    return list(map(tuple, array_to_numpy(array.flatten()).reshape(-1, array.type.list_size).tolist()))


def _list_converter(convert: Converter) -> Converter:
    def convert_lists(array: pa.Array) -> list[Any]:
        values = convert(array.flatten())
        ends = np.cumsum(array_to_numpy(array.value_lengths())).tolist()
        return [values[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    return convert_lists


def _model_converter(model: type[BaseModel]) -> Converter:
    fields = model.model_fields
    converters = {name: _converter_of(field.annotation) for name, field in fields.items()}

    def convert_structs(array: pa.Array) -> list[Any]:
        columns = [
            convert(pc.struct_field(array, name))
            if array.type.get_field_index(name) >= 0
            else [copy(fields[name].default) for _ in range(len(array))]
            for name, convert in converters.items()
        ]
        return _instances(model, columns, len(array))

    return convert_structs


def _enum_converter(kind: type[StrEnum]) -> Converter:
    def convert_words(array: pa.Array) -> list[Any]:
        encoded = pc.dictionary_encode(array)
        members = [kind(word) for word in encoded.dictionary.to_pylist()]
        return [members[place] for place in encoded.indices.to_pylist()]

    return convert_words


_ROWS = _model_converter(ImageRow)
