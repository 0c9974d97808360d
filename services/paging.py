"""Pages by cursor: an opaque text that says where the next page starts. Never an offset, never a total."""

import base64
import binascii
import json
import math
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from services.problems import Problem

MOST = 100
Limit = Annotated[int, Query(ge=1, le=MOST, description="Most items of the page.")]
Cursor = Annotated[
    str | None, Query(max_length=500, description="`next_cursor` of the page before; absent: the first page.")
]
Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """A page of a list; `next_cursor` is null on the last."""

    items: list[Item]
    next_cursor: str | None = None


def cursor_of(*values: Any) -> str:
    """The cursor that carries `values` (JSON-able)."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def values_of(cursor: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """The values of a cursor; None where there is none. Raises a Problem of 404 on one we did not make."""
    if cursor is None:
        return None
    try:
        values = json.loads(base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), b"-_", True))
    except (binascii.Error, ValueError, RecursionError):
        values = None
    fits = isinstance(values, list) and len(values) == len(kinds)
    if not fits or not all(_is_of(value, kind) for value, kind in zip(values, kinds, strict=True)):
        raise Problem(404, "this cursor leads nowhere; leave it out for the first page")
    return tuple(values)


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of its kind and one that a database can hold."""
    if type(value) is not kind:
        return False
    if kind is str:
        return bool(value.isprintable())  # no NUL, no half of a surrogate pair
    if kind is int:
        return bool(-(2**63) <= value < 2**63)
    return kind is not float or math.isfinite(value)


def cut(rows: list[Item], limit: int) -> tuple[list[Item], bool]:
    """The page of `limit + 1` rows asked for, and whether there are more."""
    return rows[:limit], len(rows) > limit
