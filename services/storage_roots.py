"""Checks that jobs read and write only under FO1_STORAGE_ROOTS.

Local paths are resolved first (symlinks followed); URLs are compared as text and may not contain `..`. Web
addresses may be read from any public host (`fo1_data.storage.reach` keeps private networks out while
fetching). Reads the file system, so call it in a thread.
"""

import glob
import os
from collections.abc import Iterable
from contextlib import suppress
from copy import copy
from pathlib import Path

from fo1_data.storage.addresses import is_web, local_path, normalise, scheme_of

_GLOB = frozenset("*?[")


class OutsideRoots(ValueError):
    """A place outside the storage roots, or one that is not an absolute path or URL."""


class StorageRoots:
    """The storage roots of the settings."""

    def __init__(self, roots: tuple[str, ...]) -> None:
        self._local = [Path(os.path.realpath(path)) for path in map(local_path, roots) if path is not None]
        self._remote = [_remote_form(root) for root in roots if local_path(root) is None]
        self._foreign_local: list[Path] = []
        self._foreign_remote: list[str] = []

    def without(self, places: Iterable[str]) -> "StorageRoots":
        """Return these roots without the folders at `places` and what is in them."""
        rest = copy(self)
        paths = {place: local_path(place) for place in places}
        rest._foreign_local = [Path(os.path.realpath(path)) for path in paths.values() if path is not None]
        rest._foreign_remote = [_remote_form(place) for place, path in paths.items() if path is None]
        return rest

    def check(self, address: str) -> str:
        """Return the address in one absolute form. Raises OutsideRoots if it is, or leads, outside."""
        if "\0" in address:
            raise OutsideRoots("a path must not contain NUL characters")
        try:
            os.fsencode(address)
        except UnicodeEncodeError:
            raise OutsideRoots("a path must not contain half of a surrogate pair") from None
        if scheme_of(address) in ("", "file"):
            return self._check_local(address)
        remote = _remote_form(address)
        if _is_under(remote, self._remote) and not _is_under(remote, self._foreign_remote):
            return address
        raise OutsideRoots(f"{address} is outside the storage roots of this service")

    def check_source(self, address: str) -> str:
        """As `check`, but accept web addresses and globs of local files too."""
        if is_web(address):
            return address
        if scheme_of(address) == "" and _GLOB & set(address) and not os.path.lexists(self._absolute(address)):
            absolute = self._absolute(address)
            prefix = absolute[: min(absolute.find(sign) for sign in _GLOB if sign in absolute)]
            self._check_local(prefix.rpartition("/")[0] or "/")
            return absolute
        return self.check(address)

    def exists(self, address: str) -> bool:
        """Return whether a local place exists (a glob: whether it matches); True if it is not local."""
        path = local_path(address)
        if path is None:
            return True
        try:
            return path.exists() or next(glob.iglob(str(path), recursive=True), None) is not None  # noqa: PTH207
        except OSError:
            return False

    def _absolute(self, address: str) -> str:
        path = local_path(address)
        assert path is not None
        if not path.is_absolute():
            raise OutsideRoots(f"{address!r} is neither an absolute path nor a URL")
        return normalise(address)

    def _check_local(self, address: str) -> str:
        absolute = self._absolute(address)
        path = local_path(absolute)
        assert path is not None
        try:
            real = Path(os.path.realpath(path))
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                real.lstat()  # raises OSError if a name is too long
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise OutsideRoots(f"{address[:200]} is not a valid path: {reason}") from None
        if not _is_in(real, self._local) or _is_in(real, self._foreign_local):
            raise OutsideRoots(f"{address} is outside the storage roots of this service")
        return absolute


def _is_in(path: Path, folders: list[Path]) -> bool:
    return any(path == folder or folder in path.parents for folder in folders)


def _remote_form(address: str) -> str:
    scheme, _, rest = address.partition("://")
    parts = rest.split("/")
    if ".." in parts or "." in parts:
        raise OutsideRoots(f"{address} must not contain . or .. as a part")
    return f"{scheme.lower()}://{'/'.join(part for part in parts if part)}"


def _is_under(address: str, roots: list[str]) -> bool:
    return any(address == root or address.startswith(f"{root}/") for root in roots)
