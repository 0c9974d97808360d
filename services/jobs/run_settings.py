"""A run's settings as TOML: flat, of text, numbers, switches and lists of them."""

import json
from typing import Any


def to_toml(settings: dict[str, Any]) -> str:
    """One `key = value` a line; settings that are None are left out, as TOML has no null."""
    return "".join(f"{key} = {_value(value)}\n" for key, value in settings.items() if value is not None)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(one) for one in value)}]"
    # JSON's texts, numbers and switches are TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
