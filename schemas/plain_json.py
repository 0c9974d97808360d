"""Values of any source as plain JSON: what a row's `meta` may hold."""

import math
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any


def plain_json(value: Any) -> Any:
    """The value as JSON that every reader accepts.

    Dates and times: ISO 8601; durations: seconds with the unit; decimals, UUIDs and other objects: text; NaN
    and infinities: null; bytes are left out, and a text says how many. Arrays become lists.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_json(item) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(value)} bytes left out)"
    if isinstance(value, Decimal):
        return str(value) if value.is_finite() else None
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    return plain_json(value.tolist()) if hasattr(value, "tolist") else str(value)
