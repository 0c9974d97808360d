"""Which places jobs may read and write: those under FO1_STORAGE_ROOTS, symlinks followed first.

Local paths are judged by where they really lead; URLs by their text, without `..`. Web addresses can be
read from anywhere that is public (`fo1_data.storage.reach` keeps private networks out while fetching).
Looks at the file system, so it is called in a thread.
"""

import glob
import os
from contextlib import suppress
from pathlib import Path

from fo1_data.storage.addresses import is_web, local_path, normalise, scheme_of

_GLOB = frozenset("*?[")


class OutsideRoots(ValueError):
    """A place that jobs may not touch, or one that is not named in full."""


class StorageRoots:
    """The roots of the settings."""

    def __init__(self, roots: tuple[str, ...]) -> None:
        self._local = [Path(os.path.realpath(path)) for path in map(local_path, roots) if path is not None]
        self._remote = [_remote_form(root) for root in roots if local_path(root) is None]

    def check(self, address: str) -> str:
        """The address in one absolute form. Raises OutsideRoots where it lies, or leads, outside."""
        if "\0" in address:
            raise OutsideRoots("a path without NUL characters is needed")
        if scheme_of(address) in ("", "file"):
            return self._check_local(address)
        if _is_under(_remote_form(address), self._remote):
            return address
        raise OutsideRoots(f"{address} is outside the storage roots of this service")

    def check_source(self, address: str) -> str:
        """As `check`; web addresses and globs of local files are taken too."""
        if is_web(address):
            return address
        if scheme_of(address) == "" and _GLOB & set(address) and not os.path.lexists(self._absolute(address)):
            absolute = self._absolute(address)
            fixed = absolute[: min(absolute.find(sign) for sign in _GLOB if sign in absolute)]
            self._check_local(fixed.rpartition("/")[0] or "/")
            return absolute
        return self.check(address)

    def exists(self, address: str) -> bool:
        """Whether a local place is there (a glob: whether it matches); True for what is not local."""
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
            raise OutsideRoots(f"{address!r} is no absolute path and no URL")
        return normalise(address)

    def _check_local(self, address: str) -> str:
        absolute = self._absolute(address)
        path = local_path(absolute)
        assert path is not None
        try:
            real = Path(os.path.realpath(path))
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                real.lstat()  # tells names that are too long
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise OutsideRoots(f"{address[:200]} is no path: {reason}") from None
        if not any(real == root or root in real.parents for root in self._local):
            raise OutsideRoots(f"{address} is outside the storage roots of this service")
        return absolute


def _remote_form(address: str) -> str:
    scheme, _, rest = address.partition("://")
    parts = rest.split("/")
    if ".." in parts or "." in parts:
        raise OutsideRoots(f"{address} must not go up by ..")
    return f"{scheme.lower()}://{'/'.join(part for part in parts if part)}"


def _is_under(address: str, roots: list[str]) -> bool:
    return any(address == root or address.startswith(f"{root}/") for root in roots)
