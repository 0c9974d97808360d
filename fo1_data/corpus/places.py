"""Listing of files, and the addresses of the images that a corpus names. The order is always the same.

Walks folders on local disks and object stores; finds a named image next to the file that names it. Does not
open files.
"""

import errno
import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pyarrow import fs as pafs

from fo1_data.errors import CorpusError, StorageError, one_line
from fo1_data.home_folders import expand_home
from fo1_data.storage.addresses import (
    address_of,
    file_system,
    is_web,
    join,
    local_path,
    normalise,
    scheme_of,
)
from fo1_data.storage.store_faults import store_failed
from schemas.images import Reject, RejectStage

# A link to itself is not there either.
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP)
_GLOB = re.compile(r"[*?\[]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"^(\d+)\.\.(\d+)$")


def listing_reject(uri: str, reason: str, message: str) -> Reject:
    """The reject of something that cannot be listed."""
    uri, message = storable(uri), storable(message)[:500]
    return Reject(uri=uri, stage=RejectStage.LISTING, reason=reason, message=message, replayable=False)


def storable(text: str) -> str:
    """The text with halves of surrogate pairs, which no file holds, spelled out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def kind_of(address: str) -> str:
    """`file`, `folder`, `other` (a pipe, a device) or `nothing`. A web address counts as a file."""
    try:
        if (path := _os_path(address)) is not None:
            return _kind_of_path(path)
        if is_web(address):
            return "file"
        files, path_in_store = file_system(address)
        file_type = files.get_file_info(path_in_store.rstrip("/")).type
    except OSError as error:
        raise CorpusError(f"cannot look at {address}: {one_line(error)}") from error
    kinds = {pafs.FileType.File: "file", pafs.FileType.Directory: "folder"}
    return kinds.get(file_type, "nothing")


def _os_path(address: str) -> str | None:
    """The path of a local address; None if it is remote."""
    return address if not scheme_of(address) else None if (path := local_path(address)) is None else str(path)


def _kind_of_path(path: str) -> str:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - called for every image of a list
    except ValueError:  # a null character
        return "nothing"
    except OSError as error:
        if error.errno in _NOT_THERE:
            return "nothing"
        raise
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def children(folder: str) -> tuple[list[str], list[str]]:
    """Names of the files and of the folders directly in `folder`, each sorted.

    Hidden folders are left out; everything that is not a folder counts as a file. Raises OSError.
    """
    path = local_path(folder)
    names: list[str] = []
    folders: list[str] = []
    if path is not None:
        with os.scandir(path) as entries:
            for entry in entries:
                is_folder = _is_folder(entry)
                (folders if is_folder else names).append(entry.name)
    else:
        files, path_in_store = file_system(folder)
        for info in files.get_file_info(pafs.FileSelector(path_in_store.rstrip("/"))):
            is_folder = info.type == pafs.FileType.Directory
            (folders if is_folder else names).append(info.base_name)
    return sorted(names), sorted(name for name in folders if not name.startswith("."))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself


def walk(folder: str) -> Iterator[str | Reject]:
    """The address of every file below `folder`, in order; a reject for a folder that cannot be read.

    Links to folders are followed; each folder is visited once. Raises StorageError if an object store fails.
    """
    seen: set[tuple[int, int]] = set()
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            if not _is_first_visit(current, seen):
                continue
            names, folders = children(current)
        except OSError as error:
            if local_path(current) is None and store_failed(error):
                raise StorageError(f"cannot list {current}: {one_line(error)}") from error
            yield listing_reject(current, "unreadable_folder", f"{current}: {one_line(error)}")
            continue
        yield from _join_all(current, names)
        pending.extend(_join_all(current, reversed(folders)))


def _is_first_visit(folder: str, seen: set[tuple[int, int]]) -> bool:
    path = local_path(folder)
    if path is None:
        return True
    info = path.stat()
    inode = (info.st_dev, info.st_ino)
    if inode in seen:
        return False
    seen.add(inode)
    return True


def join_verbatim(folder: str, name: str) -> str:
    """The address of a listed name, which may contain any characters, also `://` and `%`."""
    return next(_join_all(folder, [name]))


def _join_all(folder: str, names: Iterable[str]) -> Iterator[str]:
    path = _os_path(folder)
    start = f"{(folder if path is None else os.path.abspath(path)).rstrip('/')}/"  # noqa: PTH100 - as address_of
    for name in names:
        address = start + name
        yield address if path is None or address.isascii() else address_of(address)


def expand(pattern: str) -> list[str]:
    """The files that match a pattern, each once: braces (`{000..011}`, `{a,b}`), then `*`, `?`, `[]`, `**`.

    Those of one alternative of the braces are sorted.
    """
    matches: list[str] = []
    for part in _expand_braces(pattern):
        if not _GLOB.search(part):
            matches.append(normalise(part))
        elif (path := local_path(part)) is not None:
            matches += sorted(_local_matches(path))
        else:
            matches += _remote_matches(part)
    return list(dict.fromkeys(matches))


def is_pattern(text: str) -> bool:
    """Whether `text` contains something to expand (a `?` in a web address starts its query)."""
    braces = any(_alternatives(inside) for inside in _BRACES.findall(text))
    return braces or (not is_web(text) and bool(_GLOB.search(text)))


def _alternatives(inside: str) -> list[str]:
    numbers = _RANGE.match(inside)
    if numbers:
        first, last = numbers.groups()
        return [str(value).zfill(len(first)) for value in range(int(first), int(last) + 1)]
    return inside.split(",") if "," in inside else []


def _expand_braces(pattern: str) -> list[str]:
    for braces in _BRACES.finditer(pattern):
        parts = _alternatives(braces.group(1))
        if parts:
            head, tail = pattern[: braces.start()], pattern[braces.end() :]
            return [expanded for part in parts for expanded in _expand_braces(head + part + tail)]
    return [pattern]


def _local_matches(pattern: Path) -> Iterator[str]:
    for name in glob.iglob(str(expand_home(pattern)), recursive=True):  # noqa: PTH207 - supports `**` anywhere
        if not Path(name).is_dir():
            yield address_of(name)


def _remote_matches(pattern: str) -> list[str]:
    scheme, rest = pattern.split("://", 1)
    first = _GLOB.search(rest)
    fixed = rest[: first.start()].rpartition("/")[0] if first else rest
    matches = re.compile(_glob_regex(rest)).fullmatch
    addresses = (item for item in walk(f"{scheme}://{fixed}") if isinstance(item, str))
    return sorted(address for address in addresses if matches(address.split("://", 1)[1]))


def _glob_regex(pattern: str) -> str:
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    regexes = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        regexes.get(piece) or (piece.replace("[!", "[^") if piece.startswith("[") else re.escape(piece))
        for piece in pieces
    )


class ImagePlaces:
    """Finds the images that a file names, in the first of `roots` that has them.

    A local name is looked up in each root, first in the one of the last match. In an object store a lookup
    per name would take longer than the listing, so the root of the first image is used for all.
    """

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = list(dict.fromkeys(roots))
        self._matched_root: str | None = None

    def find(self, name: str) -> str:
        """The address of an image; if no root has it, its address in the first root."""
        return self.look(name) or join(self._roots[0], name)

    def look(self, name: str) -> str | None:
        """The address of an image; None if no root has it. In an object store only the first is looked up."""
        scheme = scheme_of(name)
        if scheme or name.startswith("/"):
            return name if scheme not in ("", "file") else join(self._roots[0], name)
        if self._matched_root is not None and not self._is_local(self._matched_root):
            return join(self._matched_root, name)
        first = [self._matched_root] if self._matched_root is not None else []
        for spelling in dict.fromkeys((name, name.replace("\\", "/"))):
            for root in first + self._roots:
                address = join(root, spelling)
                if is_web(address) or kind_of(address) in ("file", "other"):
                    self._matched_root = root
                    return address
        return None

    @staticmethod
    def _is_local(address: str) -> bool:
        return scheme_of(address) in ("", "file")
