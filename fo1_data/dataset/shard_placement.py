"""The files of finished shards, brought to their places in `data/`.

Safe to repeat after a crash at any point. A file without changes is moved; if an earlier attempt moved
it, it is found at its target. A file whose rows change (a duplicate in another shard, a decision) is
written anew from the try that counts. Memory: the rows of a few such files.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from fo1_data.dataset.counting import count_rows
from fo1_data.dataset.duplicates import Changes
from fo1_data.dataset.layout import data_file
from fo1_data.dataset.prefetch import map_ahead
from fo1_data.dataset.stored_rows import load_rows, write_rows
from fo1_data.errors import StorageError
from fo1_data.storage.store import Store
from schemas.dataset import Counts, ManifestFile, ShardFile, ShardReport
from schemas.images import ImageRow

NUM_MOVERS = 8

Placed = tuple[list[ManifestFile], Counts]


class Decider(Protocol):
    """Decides rows if that needs all of them: `see` is called with every row, then `decide` with each."""

    def see(self, row: ImageRow) -> None: ...

    def decide(self, row: ImageRow) -> None: ...


def place_shards(
    store: Store,
    reports: Sequence[ShardReport],
    changes: Mapping[str, Changes],
    decider: Decider | None = None,
) -> Iterator[Placed]:
    """Bring the files of all shards to `data/`, several shards at a time.

    Yields files and counts of each shard, in the order of `reports`. `changes`: by shard id. With a
    `decider` all rows are read before the first one is written.
    """
    if decider is not None:
        for report in reports:
            for file in report.files:
                for row in _kept(load_rows(store, file.path), changes.get(report.shard_id)):
                    decider.see(row)
    return map_ahead(
        lambda report: place_shard(store, report, changes.get(report.shard_id), decider),
        reports,
        NUM_MOVERS if decider is None else 1,
    )


def place_shard(
    store: Store, report: ShardReport, changes: Changes | None = None, decider: Decider | None = None
) -> Placed:
    """Bring the files of one shard to `data/`; returns them as the manifest lists them, and their counts."""
    if changes is None and decider is None:
        return [_move(store, file, report.index) for file in report.files], report.counts
    placed: list[ManifestFile] = []
    counts = Counts(rejected=report.counts.rejected)
    for file in report.files:
        rows = _kept(load_rows(store, file.path), changes)
        if decider is not None:
            for row in rows:
                decider.decide(row)
        counts += count_rows(rows)
        if rows:
            placed.append(write_rows(store, data_file(str(file.split), report.index), rows))
        else:
            store.delete(data_file(str(file.split), report.index))
    return placed, counts


def _kept(rows: list[ImageRow], changes: Changes | None) -> list[ImageRow]:
    return rows if changes is None else changes.apply(rows)


def _move(store: Store, file: ShardFile, index: int) -> ManifestFile:
    target = data_file(str(file.split), index)
    try:
        store.move(file.path, target)
    except FileNotFoundError as error:
        # An earlier attempt may have moved it and stopped before the manifest.
        if not store.exists(target) or store.size(target) != file.num_bytes:
            raise StorageError(
                f"{store.address(file.path)} is gone: delete the dataset's folder and run again"
            ) from error
    return ManifestFile(path=target, **file.model_dump(exclude={"path", "split"}))
