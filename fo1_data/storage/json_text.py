"""JSON that others wrote."""

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """As `json.loads`. Raises ValueError, also where it is nested too deeply for Python."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object. Raises ValueError for any other JSON, and as `parse_json`."""
    document = parse_json(text)
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    return document
