"""What became of reading something: read, or refused in one line; twice the same."""

from collections.abc import Callable
from typing import Any

from fuzz_target import check

from fo1_data.errors import Fo1Error, InputReject

Read = Callable[[], Any]


def outcome_of(read: Read) -> str:
    """What a reader says: `refused: ...`, or `read`."""
    try:
        read()
    except Fo1Error as error:
        check_line(str(error))
        return f"refused: {error}"
    except InputReject as reject:
        check(bool(reject.reason and reject.message), "a reject without words")
        check_line(reject.message)
        return f"refused: {reject}"
    return "read"


def check_line(text: str) -> None:
    """What a person is told is one line that can be printed."""
    check("\n" not in text and len(text) < 20_000, "not one line:", text)
    check(bool(text.encode(errors="surrogateescape")), "nothing is said")


def same_twice(read: Read) -> str:
    """The outcome in one word, which is the same the second time."""
    first = outcome_of(read)
    again = outcome_of(read)
    check(first == again, "two ways:", first, again)
    return first.partition(":")[0]
