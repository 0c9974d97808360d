"""The files of a dataset: one folder, local or remote, behind one class.

Addresses are those of `addresses`. A store that is full, unreachable or not permitted raises StorageError
with a one-line message; a missing file raises Python's FileNotFoundError. Does not cache or lock.
"""

import builtins
import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
from pyarrow import fs as pafs

from fo1_data.errors import FULL, ConfigError, StorageError, one_line
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

# Prefix of a local file while it is written; a killed process leaves such a file behind.
UNFINISHED = ".writing-"
_COPIED_BYTES = 8 * 2**20


def split_address(address: str) -> tuple[str, str]:
    """The folder of a file, for `open_store`, and its name: `/C.json` gives `/` and `C.json`.

    Raises ConfigError if the address ends in `/`, like that of a folder.
    """
    if address.endswith("/"):
        raise ConfigError(f"{address} names a folder: name a file in it")
    whole = normalise(address)
    return parent(whole), base_name(whole)


def open_store(url: str) -> "Store":
    """Open the folder at `url`, which need not exist yet. Raises ConfigError if it cannot be written to."""
    if is_web(url):
        raise ConfigError(f"{url} can be read but not written: name a folder or an object store")
    return Store(normalise(url))


class Store:
    """The files below one folder, local or remote. Paths are relative to it, with `/` between parts.

    A file appears whole or not at all, on local disks and on object stores.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._files, self._root = file_system(url)
        self._local = local_path(url)

    def local_path(self, path: str = "") -> Path | None:
        """The path on this machine; None for a remote store."""
        return None if self._local is None else self._local / path

    def address(self, path: str = "") -> str:
        """The address of a file in the store."""
        return join(self.url, path) if path else self.url

    def read_bytes(self, path: str) -> bytes:
        """Read a whole file. Raises FileNotFoundError."""
        with self._faults("read", path):
            if self._local is not None:
                return (self._local / path).read_bytes()
            with self._files.open_input_file(self._at(path)) as file:
                data: bytes = file.read()
                return data

    def open_input(self, path: str) -> pa.NativeFile:
        """Open a seekable file, for Parquet. Raises FileNotFoundError."""
        with self._faults("read", path):
            return self._files.open_input_file(self._at(path))

    def exists(self, path: str) -> bool:
        """Whether there is a file of that name (not a folder)."""
        with self._faults("look at", path):
            return bool(self._files.get_file_info(self._at(path)).type == pafs.FileType.File)

    def size(self, path: str) -> int:
        """The size of a file in bytes. Raises FileNotFoundError."""
        with self._faults("look at", path):
            info = self._files.get_file_info(self._at(path))
        if info.type != pafs.FileType.File:
            raise FileNotFoundError(self.address(path))
        return int(info.size)

    def list(self, folder: str = "") -> builtins.list[str]:
        """The files below `folder`, at any depth, sorted; empty if there is no such folder."""
        selector = pafs.FileSelector(self._at(folder), recursive=True, allow_not_found=True)
        with self._faults("list", folder):
            infos = self._files.get_file_info(selector)
        prefix = self._root.rstrip("/") + "/"
        paths = (info.path for info in infos if info.type == pafs.FileType.File)
        names = (path.removeprefix(prefix) for path in paths)
        return sorted(name for name in names if not _is_unfinished(name))

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write or replace a file."""
        with self._faults("write", path):
            if self._local is not None:
                with self.open_output(path) as file:
                    file.write(data)
                return
            with self._files.open_output_stream(self._at(path), compression=None) as stream:
                stream.write(data)

    def write_chunks(self, path: str, chunks: Iterable[bytes]) -> None:
        """Write or replace a file that need not fit in memory, piece by piece."""
        if self._local is not None:
            with self.open_output(path) as file:
                file.writelines(chunks)
            return
        # What is closed on an object store is there: it is opened once all pieces are at hand.
        with self._faults("write", path), tempfile.TemporaryFile() as whole:
            whole.writelines(chunks)
            whole.seek(0)
            with self._files.open_output_stream(self._at(path), compression=None) as stream:
                shutil.copyfileobj(whole, stream, _COPIED_BYTES)

    @contextmanager
    def open_output(self, path: str) -> Iterator[BinaryIO]:
        """A file to write piece by piece, in a `with` block. If the block raises, nothing is left of it.

        On an object store a killed process may leave a part of it: give it a name that nobody else uses.
        """
        with self._faults("write", path):
            if self._local is not None:
                with _temporary_file(self._local / path) as (file, temporary):
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                    temporary.replace(self._local / path)
                return
            try:
                with self._files.open_output_stream(self._at(path), compression=None) as stream:
                    yield stream
            except BaseException:
                self.delete(path)
                raise

    def create_exclusive(self, path: str, data: bytes) -> bool:
        """Create a file atomically; returns False if there already is one.

        On an object store this is a conditional put, which is sent again if its response is lost. So `data`
        must identify its writer: if the file has exactly these bytes, this call counts as its creator.
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
            except OSError:
                raise
            except Exception as error:  # a store's client has kinds of its own for a server without answer
                raise OSError(one_line(error)) from error
            return True

    def place(self, source: str, target: str) -> None:
        """Put a file at `target`, replacing what is there. On an object store this is a copy and the source
        stays: delete its folder when all are in place, which takes one request for many files."""
        with self._faults("move", source):
            if self._local is None:
                self._files.copy_file(self._at(source), self._at(target))
                return
            local, local_source = self._local / target, self._local / source
            try:
                local_source.replace(local)
            except FileNotFoundError:
                local.parent.mkdir(parents=True, exist_ok=True)
                local_source.replace(local)

    def take_over(self, origin: "Store", path: str) -> None:
        """Add the file `path` of another store under the same name: by a hard link if both are on one local
        disk, else by a copy. Sharing is safe, because files of a store are replaced and never modified."""
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
        """Delete a file; a missing file is not an error."""
        with self._faults("delete", path), suppress(FileNotFoundError):
            self._files.delete_file(self._at(path))

    def delete_folder(self, folder: str) -> None:
        """Delete a folder of files that nothing needs, on an object store many files a request.

        A missing folder is no error, and what cannot be deleted on a local disk is left there.
        """
        with self._faults("delete", folder), suppress(FileNotFoundError):
            if self._local is not None:
                shutil.rmtree(self._local / folder, ignore_errors=True)
            elif self._files.get_file_info(self._at(folder)).type == pafs.FileType.Directory:
                self._files.delete_dir(self._at(folder))

    def _at(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}" if path else self._root

    @contextmanager
    def _faults(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in FULL:
                message = f"no space left at {self.url}: free some, then run the same command again"
            else:
                message = f"cannot {verb} {self.address(path)}: {one_line(error)}"
            raise StorageError(message) from error


def _is_unfinished(name: str) -> bool:
    """Whether a file belongs to a write that is running or was killed."""
    last = name.rpartition("/")[2]
    return last.startswith(UNFINISHED)


@contextmanager
def _temporary_file(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file next to `target`, open for writing, and its path; deleted at the end if it still exists."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f"{UNFINISHED}{uuid.uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            yield file, temporary
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _create_local(target: Path, data: bytes) -> bool:
    with _temporary_file(target) as (file, temporary):
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                raise
            return _create_unlinked(target, data)
    return True


def _create_unlinked(target: Path, data: bytes) -> bool:
    """As `_create_local`, on a file system without hard links: exclusive, but not atomic."""
    try:
        with target.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True
