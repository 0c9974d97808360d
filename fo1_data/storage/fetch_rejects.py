"""The rejects of files that cannot be read: what is final, and what another try may mend."""

from fo1_data.errors import InputReject
from fo1_data.storage.reach import OutOfReach
from schemas.images import RejectStage

_FORBIDDEN = ("ACCESS_DENIED", "ACCESS DENIED", "HTTP STATUS 403", "FORBIDDEN", "INVALID_ACCESS_KEY_ID")

# The offset and the length of a part of a file.
Span = tuple[int, int]


class TemporaryFault(Exception):
    """A fault that another attempt may not have."""


def reject(reason: str, message: str, replayable: bool = True) -> InputReject:
    """An InputReject of stage `fetch`, with its message on one line of at most 500 characters."""
    return InputReject(RejectStage.FETCH, reason, " ".join(message.split())[:500], replayable)


def too_large(address: str, num_bytes: int | None, max_bytes: int) -> InputReject:
    """The reject of a file over the size limit. `num_bytes` None: its size is not known."""
    size = "more" if num_bytes is None else f"{num_bytes} bytes"
    return reject("too_large", f"{address} has {size}, over the limit max_bytes = {max_bytes}", False)


def final_reject(address: str, error: Exception) -> InputReject | None:
    """The reject of an error that an immediate retry would not change; None for other errors."""
    if isinstance(error, FileNotFoundError):
        return reject("not_found", f"{address} does not exist")
    if isinstance(error, IsADirectoryError):
        return reject("not_a_file", f"{address} is a folder", False)
    if isinstance(error, OutOfReach):
        return reject("forbidden", f"{address} may not be fetched: {error}", False)
    if isinstance(error, PermissionError) or any(word in str(error).upper() for word in _FORBIDDEN):
        return reject("forbidden", f"{address} may not be read: {error}")
    return None


def check_length(address: str, data: bytes, span: Span) -> bytes:
    """The data of a part of a file. Raises InputReject if the file ends before it does."""
    if len(data) != span[1]:
        raise reject("unreadable", f"{address} ends inside a member of {span[1]} bytes", False)
    return data
