"""Pages of lists by cursor: an opaque text that says where the next page starts. No offsets, no totals."""

import base64
import binascii
import json
import math
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from services.problems import Problem

MAX_LIMIT = 100
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Maximum number of items on the page.")]
Cursor = Annotated[
    str | None,
    Query(max_length=500, description="`next_cursor` of the previous page. Absent: the first page."),
]
Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """A page of a list. `next_cursor` is null on the last page."""

    items: list[Item]
    next_cursor: str | None = None


def cursor_of(*values: Any) -> str:
    """Return the cursor that carries `values`, which must fit into JSON."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def values_of(cursor: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """Return the values of a cursor, or None without one. Raises a Problem of 404 if it is not ours."""
    if cursor is None:
        return None
    try:
        values = json.loads(base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), b"-_", True))
    except (binascii.Error, ValueError, RecursionError):
        values = None
    same_length = isinstance(values, list) and len(values) == len(kinds)
    if not same_length or not all(_fits(value, kind) for value, kind in zip(values, kinds, strict=True)):
        raise Problem(404, "this cursor is not valid; leave it out for the first page")
    return tuple(values)


def _fits(value: Any, kind: Any) -> bool:
    """Return whether a value has this type and fits into a database column."""
    if type(value) is not kind:
        return False
    if kind is str:
        return bool(value.isprintable())  # no NUL character, no half of a surrogate pair
    if kind is int:
        return bool(-(2**63) <= value < 2**63)
    return kind is not float or math.isfinite(value)


def cut(rows: list[Item], limit: int) -> tuple[list[Item], bool]:
    """Return the page of `limit + 1` requested rows, and whether there are more."""
    return rows[:limit], len(rows) > limit
