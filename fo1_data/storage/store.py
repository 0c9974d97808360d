"""A small store of files for datasets: one folder, local or remote, behind one class.

Addresses are those of `addresses`. A store that is full, lost or closed to us is a StorageError of
one line; a missing file is Python's own FileNotFoundError. Does not cache, does not lock.
"""

import builtins
import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
from pyarrow import fs as pafs

from fo1_data.errors import ConfigError, StorageError
from fo1_data.storage.addresses import (
    base_name,
    file_system,
    fsspec_file_system,
    is_web,
    join,
    local_path,
    normalise,
    parent,
)

# How the name of a local file starts while it is written; one that was killed leaves it behind.
UNFINISHED = ".writing-"


_FULL = (errno.ENOSPC, errno.EDQUOT)


def split_address(address: str) -> tuple[str, str]:
    """The folder that a file is in, for `open_store`, and its name there: of `/C.json`, `/` and `C.json`.

    Raises ConfigError where the address ends as that of a folder does.
    """
    if address.endswith("/"):
        raise ConfigError(f"{address} names a folder: name a file in it")
    whole = normalise(address)
    return parent(whole), base_name(whole)


def open_store(url: str) -> "Store":
    """The folder at `url` as a store; it need not exist yet. ConfigError where it cannot be written."""
    if is_web(url):
        raise ConfigError(f"{url} can be read and not written: name a folder or an object store")
    return Store(normalise(url))


class Store:
    """The files under one folder, local or remote. Paths are relative to it, with `/` between parts.

    A file written here is seen whole or not at all, on local disks and on object stores.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._files, self._root = file_system(url)
        self._local = local_path(url)

    def local_path(self, path: str = "") -> Path | None:
        """The path on this machine, None for a remote store."""
        return None if self._local is None else self._local / path

    def address(self, path: str = "") -> str:
        """The address of a file of the store."""
        return join(self.url, path) if path else self.url

    def read_bytes(self, path: str) -> bytes:
        """All of a file; raises FileNotFoundError."""
        with self._faults("read", path), self._files.open_input_file(self._at(path)) as file:
            data: bytes = file.read()
            return data

    def open_input(self, path: str) -> pa.NativeFile:
        """A seekable file to read Parquet from; raises FileNotFoundError."""
        with self._faults("read", path):
            return self._files.open_input_file(self._at(path))

    def exists(self, path: str) -> bool:
        """True where there is a file of that name (a folder is none)."""
        with self._faults("look at", path):
            return bool(self._files.get_file_info(self._at(path)).type == pafs.FileType.File)

    def size(self, path: str) -> int:
        """The size of a file in bytes; raises FileNotFoundError."""
        with self._faults("look at", path):
            info = self._files.get_file_info(self._at(path))
        if info.type != pafs.FileType.File:
            raise FileNotFoundError(self.address(path))
        return int(info.size)

    def list(self, folder: str = "") -> builtins.list[str]:
        """The files below `folder`, at any depth, sorted; empty where there is no such folder."""
        selector = pafs.FileSelector(self._at(folder), recursive=True, allow_not_found=True)
        with self._faults("list", folder):
            infos = self._files.get_file_info(selector)
        prefix = self._root.rstrip("/") + "/"
        found = (info.path for info in infos if info.type == pafs.FileType.File)
        names = (path.removeprefix(prefix) for path in found)
        return sorted(name for name in names if not _is_passing(name))

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write or replace a file as a whole."""
        with self._faults("write", path):
            target = self.local_path(path)
            if target is not None:
                with _written(target, data) as written:
                    written.replace(target)
                return
            with self._files.open_output_stream(self._at(path), compression=None) as stream:
                stream.write(data)

    def create_exclusive(self, path: str, data: bytes) -> bool:
        """Create a file where there is none, atomically; False where there is one already.

        On an object store this is a put on the condition that the key is free, and a put whose
        answer was lost may be sent twice: so `data` names its writer, and finding those very bytes
        there counts as having created them.
        """
        with self._faults("write", path):
            target = self.local_path(path)
            if target is not None:
                return _create_local(target, data)
            remote, remote_path = fsspec_file_system(self.address(path))
            try:
                remote.pipe_file(remote_path, data, mode="create")
            except FileExistsError:
                return self.read_bytes(path) == data
            return True

    def move(self, source: str, target: str) -> None:
        """Rename a file, replacing what is at `target`; on an object store a copy, then a delete."""
        with self._faults("move", source):
            local = self.local_path(target)
            if local is not None:
                local.parent.mkdir(parents=True, exist_ok=True)
                self._local_must(source).replace(local)
                return
            self._files.copy_file(self._at(source), self._at(target))
            self._files.delete_file(self._at(source))

    def take_over(self, origin: "Store", path: str) -> None:
        """The file `path` of another store under the same name here: a hard link where both are on one
        local disk, else a copy. Files of a store are replaced and never changed, so sharing is safe."""
        source, target = origin.local_path(path), self.local_path(path)
        if source is None or target is None:
            self.write_bytes(path, origin.read_bytes(path))
            return
        with self._faults("write", path):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                target.hardlink_to(source)
            except FileExistsError:
                self.write_bytes(path, origin.read_bytes(path))
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV, errno.EACCES):
                    raise
                self.write_bytes(path, origin.read_bytes(path))

    def delete(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""
        with self._faults("delete", path), suppress(FileNotFoundError):
            self._files.delete_file(self._at(path))

    def _local_must(self, path: str) -> Path:
        assert self._local is not None
        return self._local / path

    def _at(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}" if path else self._root

    @contextmanager
    def _faults(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in _FULL:
                message = f"no space left at {self.url}: free some, then run the same command again"
            else:
                reason = " ".join(str(error).split())[:300]
                message = f"cannot {verb} {self.address(path)}: {reason}"
            raise StorageError(message) from error


def _is_passing(name: str) -> bool:
    """True for a file that a write in work (or one that was killed) has left."""
    last = name.rpartition("/")[2]
    return last.startswith(UNFINISHED)


@contextmanager
def _written(target: Path, data: bytes) -> Iterator[Path]:
    """`data` in a file beside `target`, on the disk for good; removed at the end where it is still there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = target.parent / f"{UNFINISHED}{uuid.uuid4().hex}"
    try:
        with written.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield written
    finally:
        with suppress(FileNotFoundError):
            written.unlink()


def _create_local(target: Path, data: bytes) -> bool:
    with _written(target, data) as written:
        try:
            os.link(written, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                raise
            return _create_unlinked(target, data)
    return True


def _create_unlinked(target: Path, data: bytes) -> bool:
    """As `_create_local`, on a file system without hard links: exclusive, though not whole at once."""
    try:
        with target.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True
