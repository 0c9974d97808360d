"""The shards of a run that are done, by their markers: each marker is read once in the life of a process.

What a marker says is kept in a temporary database, which SQLite holds in memory only while it is small, and
the ids of its images in `ImageIds`: memory does not grow with the run. The addresses of images are read again
for those that occur twice.
"""

import re
import sqlite3
import tempfile
import weakref
from array import array
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import TypeVar

from pydantic_core import from_json, to_json

from fo1_data.dataset.checked_json import read_checked
from fo1_data.dataset.image_ids import BLOCK_IDS, ID_BYTES, ImageIds, half_of
from fo1_data.dataset.layout import RUN, marker, markers, try_folder
from fo1_data.dataset.prefetch import map_ahead
from fo1_data.errors import StorageError
from fo1_data.storage.store import Store
from schemas.shards import ShardImage, ShardReport

FROM_COPY = "bring it back from a copy of the dataset"
READERS = 16
_MARKERS_A_TASK = 64
_TABLE = """
    pragma journal_mode = off; pragma synchronous = off; pragma temp_store = file; pragma cache_size = -16384;
    create table shard (number integer primary key, shard_id text unique, place integer, report blob);
    create index by_place on shard (place, number);
"""

Parsed = TypeVar("Parsed")
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Occurrence:
    """An image of a shard, at a place in it."""

    index: int
    shard_id: str
    place: int
    image: ShardImage


@dataclass(frozen=True)
class _DoneShard:
    """What is kept of a marker: `report` as JSON; `image_ids`: the SHA-256 of its images, one after another;
    `several`: the first 64 bits of those that have several addresses."""

    shard_id: str
    index: int
    report: bytes
    image_ids: bytes
    several: Sequence[int]


class DoneShards(Mapping[str, ShardReport]):
    """The done shards of the run in the folder `run` of a store: reports by shard id, by their index.

    `load` reads the markers once, `update` those that are new since.
    """

    def __init__(self, store: Store, run: str) -> None:
        self._store, self._run = store, run
        self._is_loaded = False
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._database.close)  # in any thread
        self._database.executescript(_TABLE)
        self._ids = ImageIds()
        self._several = array("Q"), array("Q")  # halves, and the numbers of their shards

    def load(self) -> None:
        """Read the markers, unless that was done before. Raises StorageError as `update`."""
        if not self._is_loaded:
            self.update()

    def update(self) -> None:
        """Read the markers that are new. Raises StorageError if one is damaged or there is no room."""
        found = (path for path in self._store.list(markers(self._run)) if path.endswith(".json"))
        new = [path for path in found if _shard_id(path) not in self]
        tasks = [new[start : start + _MARKERS_A_TASK] for start in range(0, len(new), _MARKERS_A_TASK)]
        with _room():
            for shards in map_ahead(self._read, tasks, READERS):
                self._database.execute("begin")
                for shard in shards:
                    self._keep(shard)
                self._database.execute("commit")
        self._is_loaded = True

    def _read(self, paths: Sequence[str]) -> list[_DoneShard]:
        shards: list[_DoneShard] = []
        for path in paths:
            try:
                shard = _read_marker(self._store, path, self._parse)
            except FileNotFoundError:  # somebody has deleted it, and the listing is older
                continue
            if shard.shard_id != _shard_id(path):
                raise StorageError(
                    f"{self._store.address(path)} is of another shard: delete it and run again"
                )
            shards.append(shard)
        return shards

    def _parse(self, data: bytes) -> _DoneShard:
        return _parse_done(data, self._run)

    def _keep(self, shard: _DoneShard) -> None:
        values = (shard.shard_id, shard.index, shard.report)
        number = self._database.execute("insert into shard values (null, ?, ?, ?)", values).lastrowid
        assert number is not None
        self._ids.add(shard.image_ids, number)
        self._several[0].extend(shard.several)
        self._several[1].extend([number] * len(shard.several))

    def __len__(self) -> int:
        return int(self._database.execute("select count(*) from shard").fetchone()[0])

    def __iter__(self) -> Iterator[str]:
        return (row[0] for row in self._database.execute("select shard_id from shard order by place, number"))

    def __contains__(self, shard_id: object) -> bool:
        query = "select 1 from shard where shard_id = ?"
        return self._database.execute(query, (shard_id,)).fetchone() is not None

    def __getitem__(self, shard_id: str) -> ShardReport:
        row = self._database.execute("select report from shard where shard_id = ?", (shard_id,)).fetchone()
        if row is None:
            raise KeyError(shard_id)
        return ShardReport.model_validate_json(row[0])

    def reports(self) -> Iterator[ShardReport]:
        """All reports, by the index of their shard."""
        rows = self._database.execute("select report from shard order by place, number")
        return (ShardReport.model_validate_json(row[0]) for row in rows)

    def among(self, images: Iterable[tuple[str, Entry]]) -> dict[str, Entry]:
        """Of images, each an id and anything, those that a shard holds, by the first 64 bits of their ids."""
        found: dict[str, Entry] = {}
        source = iter(images)
        while batch := list(islice(source, BLOCK_IDS)):
            held = {half for half, _ in self._ids.shards_of(half_of(image_id) for image_id, _ in batch)}
            found.update(pair for pair in batch if half_of(pair[0]) in held)
        return found

    def repeated_images(self, present: Collection[str] = ()) -> dict[str, list[Occurrence]]:
        """The images that are in several shards, have several addresses or are among the ids `present`.

        Each with all its occurrences, in the order of the shards' indexes. Reads the markers of their shards.
        Memory grows with what is returned.
        """
        halves, numbers = set(self._several[0]), set(self._several[1])
        for half, of_half in chain(self._ids.repeated(), self._ids.shards_of(map(half_of, present))):
            halves.add(half)
            numbers.update(of_half)
        rows = self._database.execute("select number, place, shard_id from shard order by place, number")
        shards = ((index, shard_id) for number, index, shard_id in rows if number in numbers)
        found: dict[str, list[Occurrence]] = {}
        for occurrences in map_ahead(lambda shard: self._read_images(*shard, halves), shards, READERS):
            for occurrence in occurrences:
                found.setdefault(occurrence.image.image_id, []).append(occurrence)
        return {
            image_id: occurrences
            for image_id, occurrences in found.items()
            if len(occurrences) > 1 or len(occurrences[0].image.uris) > 1 or image_id in present
        }

    def _read_images(self, index: int, shard_id: str, halves: Container[int]) -> list[Occurrence]:
        path = marker(self._run, shard_id)
        try:
            images = _read_marker(self._store, path, lambda data: from_json(data)["images"])
        except FileNotFoundError as error:
            raise StorageError(f"{self._store.address(path)} is gone: run again") from error
        return [
            Occurrence(index, shard_id, place, ShardImage.model_validate(image))
            for place, image in enumerate(images)
            if half_of(image["image_id"]) in halves
        ]


def read_report(store: Store, run: str, shard_id: str) -> ShardReport | None:
    """The report of the try of a shard that counts; None if the shard is not done."""
    try:
        return _read_marker(store, marker(run, shard_id), ShardReport.model_validate_json)
    except FileNotFoundError:
        return None


def _shard_id(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".json")


def damaged_file(store: Store, path: str) -> StorageError:
    """The error for a damaged file of a try: what to delete so that the same command makes it anew."""
    return _lost_file(store, path, "damaged")


def gone_file(store: Store, path: str) -> StorageError:
    """The error for a file of a try that is not there any more."""
    return _lost_file(store, path, "gone")


def _lost_file(store: Store, path: str, state: str) -> StorageError:
    """Names the marker of the file's shard. A gathered file holds many shards, whose own files are gone."""
    run = _run_of(path)
    done = DoneShards(store, run)
    done.update()
    found = (
        marker(run, report.shard_id)
        for report in done.reports()
        if path in (file.path for file in report.all_files)
    )
    name = next(found, None)
    way_on = f"delete {store.address(name)} and run again" if name is not None else begin_again(store, path)
    return StorageError(f"{store.address(path)} is {state}: {way_on}")


def begin_again(store: Store, path: str) -> str:
    """What to do where the file at `path` is lost, and no other file says how to make it anew.

    Of a replay only its own folder goes: the dataset's folder holds the version that it began with.
    """
    run = _run_of(path)
    if run == path:
        return FROM_COPY
    return f"delete {store.url if run == RUN else store.address(run)} and run again"


def _run_of(path: str) -> str:
    """The run folder that a file lies in; the path itself of a file of a finished dataset."""
    return re.split("/(?:tries|groups)/", path)[0]


def _read_marker(store: Store, path: str, parse: Callable[[bytes], Parsed]) -> Parsed:
    return read_checked(store, path, parse, "delete it and run again")


def _parse_done(data: bytes, run: str) -> _DoneShard:
    document = from_json(data)
    images = document.pop("images")
    image_ids = bytes.fromhex("".join([image["image_id"] for image in images]))
    if len(image_ids) != ID_BYTES * len(images):
        raise ValueError("an id that is no SHA-256")
    several = [half_of(image["image_id"]) for image in images if len(image["uris"]) > 1]
    report = ShardReport.model_validate(document)
    folder = try_folder(run, report.index, report.try_id)
    if any(file.path.rpartition("/")[0] != folder for file in report.all_files):
        raise ValueError("a file outside the folder of its try")
    return _DoneShard(report.shard_id, report.index, to_json(document), image_ids, several)


@contextmanager
def _room() -> Iterator[None]:
    """What to do if the disk of the temporary database is full."""
    try:
        yield
    except sqlite3.OperationalError as error:
        place = tempfile.gettempdir()
        raise StorageError(
            f"no room for what the shards report in {place}: {error} (TMPDIR names another folder)"
        ) from error
