"""A local, verified copy of a remote model: fetched once for each machine, and shared by its processes.

The key of a copy is made of the address and the listing of the source (paths, sizes, times), so a model that
was replaced at its source is fetched again. A copy is complete when it appears, by a single rename under a
file lock. It holds the SHA-256 of every file; every use verifies them, and a damaged copy is fetched again.
This file loads no model and does not depend on the layout of a checkpoint.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyarrow import fs as pafs

from fo1_data.errors import CheckpointError, ConfigError, first_line, refuse_full_disk
from fo1_data.home_folders import folder_below_home
from fo1_data.model.checksums import sha256_of
from fo1_data.storage.addresses import file_system
from fo1_data.storage.json_text import parse_object

_PART = "part-"
_RECORD = "fetched.json"
_CHUNK_BYTES = 8 * 2**20


def cache_root() -> Path:
    """The folder of all copies: FO1_CACHE_DIR, else `fo1-data` in the user's cache folder."""
    chosen = os.environ.get("FO1_CACHE_DIR")
    if chosen:
        return Path(chosen)
    return folder_below_home("XDG_CACHE_HOME", ".cache") / "fo1-data"


def local_model(reference: str, copy_folders: bool) -> str:
    """The folder or name from which to load `reference` on this machine.

    A URL becomes the path of a local copy. Bundled names and hub ids are returned unchanged (a hub id has its
    own cache on each machine). copy_folders: copy folders too, which may lie on a cluster's shared file
    system.
    """
    if reference.startswith("file://"):
        reference = reference.removeprefix("file://")
    if "://" in reference or (copy_folders and Path(reference).is_dir()):
        return str(local_copy(reference))
    return reference


def find_problem(reference: str) -> str | None:
    """The reason, in one line, why this machine cannot read a model; None if there is no visible reason.

    Only the listing is checked. A bundled name is always present, and a hub id is fetched at its use.
    """
    try:
        check_readable(reference)
    except CheckpointError as error:
        return str(error)
    return None


def check_readable(reference: str) -> None:
    """Raise CheckpointError, in one line, if this machine cannot read a model, as `find_problem` sees it."""
    is_folder = Path(reference).is_absolute() or reference.startswith((".", "~"))
    if "://" in reference:
        _list_source(reference)
    elif is_folder and not Path(reference).exists():
        raise CheckpointError(f"{reference} does not exist")


def local_copy(source: str, root: Path | None = None) -> Path:
    """The folder with a verified copy of the files under the URL or folder `source`.

    Raises CheckpointError if the source cannot be listed or read, or has no file.
    """
    listing = _list_source(source)
    key = _version(source, listing)[:24]
    models = (root or cache_root()) / "models"
    try:
        models.mkdir(parents=True, exist_ok=True)
        with _locked(models / f"{key}.lock"):
            target = models / key / _name_of(source)
            if target.is_dir() and not _is_intact(target):
                shutil.rmtree(target)
            if not target.is_dir():
                target.parent.mkdir(exist_ok=True)
                for left in target.parent.glob(f"{_PART}*"):  # by a process that was killed
                    shutil.rmtree(left)
                _fetch(source, listing, target)
            return target
    except OSError as error:
        refuse_full_disk(error)
        raise CheckpointError(
            f"cannot keep a copy of the model {source} under {models}: {error} (set FO1_CACHE_DIR)"
        ) from None


def source_version(source: str) -> str:
    """64 hex digits that change whenever a file under a URL or folder does. Raises CheckpointError."""
    return _version(source, _list_source(source))


def _version(source: str, listing: dict[str, list[str]]) -> str:
    return hashlib.sha256(json.dumps([source, listing], sort_keys=True).encode()).hexdigest()


def _list_source(source: str) -> dict[str, list[str]]:
    """Relative path -> the size and modification time of a file, which identify its version."""
    try:
        files, top = file_system(source)
        entries = files.get_file_info(pafs.FileSelector(top, recursive=True))
    except (ConfigError, FileNotFoundError, OSError, NotImplementedError) as error:
        raise CheckpointError(f"cannot list the model at {source}: {first_line(error)}") from None
    prefix = top.rstrip("/") + "/"
    listing = {
        info.path.removeprefix(prefix): [str(info.size), str(info.mtime_ns)]
        for info in entries
        if info.type == pafs.FileType.File
    }
    if not listing:
        raise CheckpointError(f"there is no model at {source}")
    return listing


def _fetch(source: str, names: Iterable[str], target: Path) -> None:
    files, top = file_system(source)
    part = Path(tempfile.mkdtemp(prefix=_PART, dir=target.parent))
    try:
        hashes = {}
        for name in names:
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                with files.open_input_stream(f"{top.rstrip('/')}/{name}") as stream:
                    hashes[name] = _write(part / name, stream)
            except OSError as error:
                refuse_full_disk(error)
                raise CheckpointError(f"cannot copy {name} of {source}: {first_line(error)}") from None
        (part / _RECORD).write_text(json.dumps({"source": source, "sha256": hashes}, indent=1))
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write(path: Path, stream: Any) -> str:
    """Write the stream to a file; returns the SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _name_of(source: str) -> str:
    """The last part of the address, which is also the model's name; a copy keeps it."""
    return source.rstrip("/").rpartition("/")[2] or "model"


def _is_intact(folder: Path) -> bool:
    try:
        hashes = parse_object((folder / _RECORD).read_text())["sha256"]
        return all(sha256_of(folder / name) == expected for name, expected in hashes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
