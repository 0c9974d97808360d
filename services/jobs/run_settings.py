"""Writes a run's settings as TOML: a flat table of texts, numbers, booleans and lists of them."""

import json
from typing import Any


def to_toml(settings: dict[str, Any]) -> str:
    """Return one line `key = value` per setting. Settings that are None are left out: TOML has no null."""
    return "".join(f"{key} = {_value(value)}\n" for key, value in settings.items() if value is not None)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    # JSON's strings, numbers and booleans are valid TOML, except that TOML requires DEL to be escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
