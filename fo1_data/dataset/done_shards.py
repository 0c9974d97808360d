"""The shards of a run that are done, by their markers: each marker is read once in the life of a process.

Of the images of a shard only the ids are held, 32 bytes each, and which have several addresses: enough to
find equal images in different shards. Their addresses are read again for those.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from fo1_data.dataset.layout import marker, markers
from fo1_data.errors import StorageError
from fo1_data.storage.store import Store
from schemas.dataset import ShardImage, ShardMarker, ShardReport

READERS = 16
ID_BYTES = 32
_MARKERS_A_TASK = 64

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class DoneShard:
    """A shard that is done. `image_ids`: the SHA-256 of its images, 32 bytes each, in the order of its rows.

    `several`: positions of the images that have several addresses.
    """

    report: ShardReport
    image_ids: bytes
    several: frozenset[int] = frozenset()

    def ids(self) -> Iterator[str]:
        """The ids of its images, in hex."""
        for start in range(0, len(self.image_ids), ID_BYTES):
            yield self.image_ids[start : start + ID_BYTES].hex()


class DoneShards:
    """The done shards of the run in the folder `run` of a store; `update` reads the markers that are new."""

    def __init__(self, store: Store, run: str) -> None:
        self._store, self._run = store, run
        self._by_path: dict[str, DoneShard] = {}

    def update(self) -> list[DoneShard]:
        """All shards that are done now, by index. Raises StorageError if a marker is damaged."""
        found = self._store.list(markers(self._run))
        new = [path for path in found if path.endswith(".json") and path not in self._by_path]
        tasks = [new[start : start + _MARKERS_A_TASK] for start in range(0, len(new), _MARKERS_A_TASK)]
        with ThreadPoolExecutor(READERS) as pool:
            for paths, shards in zip(tasks, pool.map(self._read, tasks), strict=True):
                self._by_path.update(zip(paths, shards, strict=True))
        return sorted(self._by_path.values(), key=lambda shard: shard.report.index)

    def _read(self, paths: Sequence[str]) -> list[DoneShard]:
        return [_read_marker(self._store, path, _parse_done) for path in paths]


def shard_to_done(shard: ShardMarker) -> DoneShard:
    """What is held of a marker."""
    return _parse_done(shard.model_dump_json().encode())


def read_report(store: Store, run: str, shard_id: str) -> ShardReport | None:
    """The report of the try of a shard that counts; None if the shard is not done."""
    try:
        return _read_marker(store, marker(run, shard_id), ShardReport.model_validate_json)
    except FileNotFoundError:
        return None


def read_images(store: Store, run: str, shard_id: str) -> list[ShardImage]:
    """The images of a shard that is done."""
    path = marker(run, shard_id)
    try:
        return _read_marker(store, path, ShardMarker.model_validate_json).images
    except FileNotFoundError as error:
        raise StorageError(f"{store.address(path)} is gone: run again") from error


def damaged_file(store: Store, path: str) -> StorageError:
    """The error for a damaged file of a try: what to delete so that the same command makes it anew.

    A file that was gathered holds many shards, whose own files are gone.
    """
    run = path.partition("/tries/")[0]
    found = (
        marker(run, done.report.shard_id)
        for done in DoneShards(store, run).update()
        if path in (file.path for file in done.report.all_files)
    )
    name = next(found, None)
    what = store.address(name) if name is not None else "the dataset's folder"
    return StorageError(f"{store.address(path)} is damaged: delete {what} and run again")


def _read_marker(store: Store, path: str, parse: Callable[[bytes], Parsed]) -> Parsed:
    data = store.read_bytes(path)
    try:
        return parse(data)
    except (ValidationError, ValueError, TypeError, KeyError) as error:
        raise StorageError(f"{store.address(path)} is damaged: delete it and run again") from error


def _parse_done(data: bytes) -> DoneShard:
    document = from_json(data)
    images = document.pop("images")
    image_ids = bytes.fromhex("".join([image["image_id"] for image in images]))
    if len(image_ids) != ID_BYTES * len(images):
        raise ValueError("an id that is no SHA-256")
    several = frozenset(place for place, image in enumerate(images) if len(image["uris"]) > 1)
    return DoneShard(ShardReport.model_validate(document), image_ids, several)
