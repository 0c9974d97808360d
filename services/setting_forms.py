"""The forms that settings of the service have: lists in JSON, addresses of servers, places.

Each function returns the value, or raises ValueError that says what is wanted and quotes at most a few
letters of what was given.
"""

from typing import Any
from urllib.parse import urlsplit

from fo1_data.storage.addresses import is_web, local_path
from fo1_data.storage.json_text import parse_json

_MOST_QUOTED = 60


def list_of_json(value: Any) -> Any:
    """The list that a text holds; anything but a text stays."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except ValueError:
        raise ValueError('lists are JSON, such as ["a", "b"]') from None


def web_address(address: str, example: str) -> str:
    """The address of a server without a slash at its end."""
    try:
        address.encode("utf-8")
        parts = urlsplit(address)
        is_server = is_web(address) and bool(parts.hostname) and address.isprintable() and "#" not in address
        _ = parts.port  # raises ValueError
    except ValueError:
        is_server = False
    if not is_server:
        raise ValueError(f"{short(address)} is not the address of a server, such as {example}")
    return address.rstrip("/")


def place(address: str) -> str:
    """A folder or a URL to read and write under."""
    try:
        address.encode("utf-8")
        is_place = bool(address.strip()) and "\0" not in address
        if local_path(address) is None:
            parts = address.partition("://")[2].split("/")
            is_place &= not {".", ".."} & set(parts)
    except ValueError:
        is_place = False
    if not is_place:
        raise ValueError(f"{short(address)} is no folder and no URL without . and .. as parts")
    return address


def readable(text: str) -> str:
    """A text that can be encoded, whose letters are not told."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("is not UTF-8") from None
    return text


def short(text: str) -> str:
    """The first letters of a text, as a message can show them."""
    return repr(text if len(text) <= _MOST_QUOTED else f"{text[:_MOST_QUOTED]}…").strip("'")
