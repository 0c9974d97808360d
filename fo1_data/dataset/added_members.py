"""Rows of schema version 2 as it was first written, which lack what was added to it since.

Only members that may be null were added to the ends of structs, so that such rows are complete once these
are null. `schemas.dataset.SCHEMA_REVISION` counts the additions.
"""

from typing import TypeVar

import pyarrow as pa

from schemas.parquet import IMAGE_SCHEMA

_ADDED = {"regions": ("mask_rle", "track_id")}
Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)


def _as_first_written(field: pa.Field) -> pa.Field:
    if field.name not in _ADDED:
        return field
    members = [member for member in field.type.value_type if member.name not in _ADDED[field.name]]
    return field.with_type(pa.list_(pa.struct(members)))


FIRST_VERSION_2_SCHEMA = pa.schema([_as_first_written(field) for field in IMAGE_SCHEMA])


def complete(rows: Rows) -> Rows:
    """Rows of version 2 in the columns of today: what they lack is null. Other columns are left out."""
    current = rows.select(IMAGE_SCHEMA.names)
    for name in _ADDED:
        place = IMAGE_SCHEMA.get_field_index(name)
        field = IMAGE_SCHEMA.field(name)
        if not current.schema.field(name).type.equals(field.type):
            current = current.set_column(place, field, _complete(current.column(name), field.type))
    return current.replace_schema_metadata(IMAGE_SCHEMA.metadata)


def _complete(column: pa.Array | pa.ChunkedArray, kind: pa.ListType) -> pa.Array | pa.ChunkedArray:
    """Lists of structs, each with the members of `kind`. Arrow's own cast refuses a box that is null."""
    if isinstance(column, pa.ChunkedArray):
        return pa.chunked_array([_complete(chunk, kind) for chunk in column.chunks], kind)
    structs = column.values
    members = [
        structs.field(member.name)
        if structs.type.get_field_index(member.name) >= 0
        else pa.nulls(len(structs), member.type)
        for member in kind.value_type
    ]
    completed = pa.StructArray.from_arrays(members, fields=list(kind.value_type), mask=structs.is_null())
    buffers = column.buffers()[:2]
    return pa.Array.from_buffers(
        kind, len(column), buffers, column.null_count, column.offset, children=[completed]
    )
