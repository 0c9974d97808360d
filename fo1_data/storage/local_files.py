"""Reading of one file of a disk, whole or a part of it."""

import errno
import os
import stat
from pathlib import Path

from fo1_data.errors import InputReject
from fo1_data.storage.fetch_rejects import Span, check_length, final_reject, reject, too_large


def read_local(path: Path, max_bytes: int, span: Span | None) -> bytes:
    """The bytes of a regular file. Raises InputReject."""
    try:
        # Non-blocking: opening a FIFO would wait forever for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _local_reject(path, error) from error
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode):
        os.close(descriptor)
        raise reject("not_a_file", f"{path_text(path)} is not a regular file", False)
    with os.fdopen(descriptor, "rb") as file:
        if span is None and info.st_size > max_bytes:
            raise too_large(path_text(path), info.st_size, max_bytes)
        try:
            if span is not None:
                file.seek(span[0])
                return check_length(path_text(path), file.read(span[1]), span)
            data = file.read(max_bytes + 1)
        except OSError as error:
            raise _local_reject(path, error) from error
    if len(data) > max_bytes:
        raise too_large(path_text(path), None, max_bytes)
    return data


def path_text(path: Path) -> str:
    """A path as text that can be encoded as UTF-8, whatever its bytes are."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _local_reject(path: Path, error: OSError | ValueError) -> InputReject:
    final = final_reject(path_text(path), error)
    if final is not None:
        return final
    code = error.errno if isinstance(error, OSError) else None
    text = os.strerror(code) if code else str(error)
    is_permanent = isinstance(error, ValueError) or code in (
        errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.ENXIO, errno.EISDIR,
    )  # fmt: skip
    return reject("unreadable", f"{path_text(path)}: {text}", not is_permanent)
