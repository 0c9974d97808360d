"""JSON files that a run keeps for itself, with a checksum: a changed bit is noticed, whatever it changes.

The checksum is the last member, so that the file stays JSON: the CRC-32, in hex, of all bytes before that
member. A file of an older release has none and is taken as it is.
"""

import re
import zlib
from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError

from fo1_data.errors import Fo1Error, StorageError
from fo1_data.storage.store import Store
from schemas.problems import is_newer, problem_of_written

_LAST_MEMBER = re.compile(rb',\s*"crc32":\s*"([0-9a-f]{8})"\s*}\s*\Z')
_MEMBER_BYTES = 64  # more than it has

Parsed = TypeVar("Parsed")


def with_checksum(document: bytes) -> bytes:
    """A JSON object, not empty, with its checksum."""
    head = document.rstrip()[:-1].rstrip()
    return head + b',\n  "crc32": "%08x"\n}\n' % zlib.crc32(head)


def read_checked(
    store: Store,
    path: str,
    parse: Callable[[bytes], Parsed],
    way_on: str,
    damaged: type[Fo1Error] = StorageError,
) -> Parsed:
    """Parse such a file.

    parse: raises ValueError, TypeError, AttributeError or LookupError for what is not of its form.
    Raises FileNotFoundError, and `damaged` if the file is (`way_on` says what to do then) or if a newer
    release wrote it.
    """
    data = store.read_bytes(path)
    try:
        return parse(_without_checksum(data))
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        if isinstance(error, ValidationError) and is_newer(error):
            raise damaged(f"{store.address(path)}: {problem_of_written(error)}") from error
        raise damaged(f"{store.address(path)} is damaged: {way_on}") from error


def _without_checksum(data: bytes) -> bytes:
    member = _LAST_MEMBER.search(data, max(0, len(data) - _MEMBER_BYTES))
    if member is None:
        return data
    head = data[: member.start()]
    if zlib.crc32(head) != int(member[1], 16):
        raise ValueError("the checksum is that of other bytes")
    return head + b"}"
