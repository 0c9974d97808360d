"""From finished shards to a dataset: files to their places, duplicates dropped, the manifest last.

Safe to run again after a crash at any point: a shard's untouched file is moved, and found at its
target the next time; a file that loses or gains by a duplicate in another shard is written anew
from the try that counts. Memory: the rows of a few such files.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from fo1_data.dataset.counting import count_rows
from fo1_data.dataset.duplicates import Changes
from fo1_data.dataset.layout import data_file
from fo1_data.dataset.prefetch import map_ahead
from fo1_data.dataset.stored_rows import read_rows_of, write_rows
from fo1_data.errors import StorageError
from fo1_data.storage.store import Store
from schemas.dataset import Counts, ManifestFile, ShardFile, ShardReport
from schemas.images import ImageRow

MOVERS = 8

Settled = tuple[list[ManifestFile], Counts]


class Decider(Protocol):
    """Decides rows where that needs all of them: is shown every row that stays, then changes each."""

    def see(self, row: ImageRow) -> None: ...

    def decide(self, row: ImageRow) -> None: ...


def settle_shards(
    store: Store,
    reports: Sequence[ShardReport],
    changes: Mapping[str, Changes],
    decider: Decider | None = None,
) -> Iterator[Settled]:
    """Bring the files of all shards to `data/`, several at once; what they are, in order of `reports`.

    With a `decider` all rows are read before the first one is written.
    """
    if decider is not None:
        for report in reports:
            for file in report.files:
                for row in _kept(read_rows_of(store, file.path), changes.get(report.shard_id)):
                    decider.see(row)
    return map_ahead(
        lambda report: settle_shard(store, report, changes.get(report.shard_id), decider),
        reports,
        MOVERS if decider is None else 1,
    )


def settle_shard(
    store: Store, report: ShardReport, changes: Changes | None = None, decider: Decider | None = None
) -> Settled:
    """Bring a shard's files to `data/`; returns what the manifest lists and counts of them."""
    if changes is None and decider is None:
        return [_move(store, file, report.index) for file in report.files], report.counts
    placed: list[ManifestFile] = []
    counts = Counts(rejected=report.counts.rejected)
    for file in report.files:
        rows = _kept(read_rows_of(store, file.path), changes)
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
        # An earlier finalise moved it and was cut off before the manifest.
        if not store.exists(target) or store.size(target) != file.num_bytes:
            raise StorageError(
                f"{store.address(file.path)} is gone: delete the dataset's folder and run again"
            ) from error
    return ManifestFile(path=target, num_rows=file.num_rows, num_bytes=file.num_bytes, sha256=file.sha256)
