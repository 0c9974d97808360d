"""The files of finished shards, and of groups of them, brought to their places in `data/`.

Safe to repeat after a crash at any point. A file without changes is moved (one of an older schema is written
anew); if an earlier attempt moved it, it is found at its target. A file whose rows change (a duplicate in
another shard, a decision) is written anew from the try that counts, row group by row group. Memory: the row
groups of a few such files, and some kilobytes for each file.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from fo1_data.dataset.counting import count_batch
from fo1_data.dataset.done_shards import gone_file
from fo1_data.dataset.duplicates import Changes
from fo1_data.dataset.layout import REJECTS, TRACKS, VIDEOS, data_file
from fo1_data.dataset.prefetch import map_ahead
from fo1_data.dataset.table_files import is_current, read_tables, refuse_damaged, write_tables
from fo1_data.storage.store import Store
from schemas.dataset import Counts, ManifestFile
from schemas.parquet import IMAGE_SCHEMA
from schemas.shards import GroupReport, ShardFile, ShardReport

NUM_MOVERS = 8

Placed = tuple[list[ManifestFile], Counts]
_TABLES: dict[str, Callable[[GroupReport | ShardReport], ShardFile | None]] = {
    REJECTS: lambda content: content.rejects,
    VIDEOS: lambda content: content.videos,
    TRACKS: lambda content: content.tracks,
}


class Decided(Protocol):
    """What a `Decider` makes of a batch."""

    @property
    def batch(self) -> pa.RecordBatch: ...


class Decider(Protocol):
    """Decides rows if that needs all of them: `see` is called with every batch, then `decide` with each."""

    def see(self, batch: pa.RecordBatch) -> None: ...

    def decide(self, batch: pa.RecordBatch) -> Decided: ...


@dataclass(frozen=True)
class _Span:
    """Neighbouring rows of a file: those of a shard with its changes, or those of shards without changes."""

    num_rows: int
    changes: Changes | None


@dataclass(frozen=True)
class PlacedTable:
    """A file of rejects, videos or tracks. `num_rows`: how many of its rows each shard has, by its index."""

    file: ShardFile
    num_rows: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class PlacedFiles:
    """The files of a shard, or of a group of shards that was gathered, that go to `data/` under one index.

    `counts`: of all rows before any change. `spans`: for each file, its rows by shard. `tables`: the other
    files, by `REJECTS`, `VIDEOS` and `TRACKS`.
    """

    index: int
    files: list[ShardFile]
    counts: Counts
    spans: list[list[_Span]]
    tables: dict[str, PlacedTable] = field(default_factory=dict)

    @property
    def is_changed(self) -> bool:
        return any(span.changes is not None for spans in self.spans for span in spans)


def plan_placement(
    reports: Iterable[ShardReport], groups: Mapping[int, GroupReport], changes: Mapping[str, Changes]
) -> list[PlacedFiles]:
    """What goes to `data/`: the gathered files of each group, and the files of shards that are in none.

    reports: in the order of their index; those of a group are held at a time. groups: by first index.
    changes: by shard id.
    """
    return [_placed(group or members[0], members, changes) for group, members in _by_group(reports, groups)]


def _by_group(
    reports: Iterable[ShardReport], groups: Mapping[int, GroupReport]
) -> Iterator[tuple[GroupReport | None, list[ShardReport]]]:
    """The shards of each group, and those that are in none one by one."""
    group: GroupReport | None = None
    members: list[ShardReport] = []
    for report in reports:
        if members and not (group is not None and report.index <= group.last_index):
            yield group, members
            members = []
        if not members:
            group = groups.get(report.index)
        members.append(report)
    if members:
        yield group, members


def _placed(
    content: GroupReport | ShardReport, members: Sequence[ShardReport], changes: Mapping[str, Changes]
) -> PlacedFiles:
    spans = [
        _merged(
            _Span(file.num_rows, changes.get(member.shard_id))
            for member in members
            for file in member.files
            if file.split == placed.split
        )
        for placed in content.files
    ]
    tables = {
        name: PlacedTable(file, [(member.index, of.num_rows) for member in members if (of := get(member))])
        for name, get in _TABLES.items()
        if (file := get(content))
    }
    counts = sum((member.counts for member in members), Counts())
    return PlacedFiles(members[0].index, content.files, counts, spans, tables)


def _merged(spans: Iterable[_Span]) -> list[_Span]:
    """Neighbours without changes as one."""
    merged: list[_Span] = []
    for span in spans:
        if merged and merged[-1].changes is None and span.changes is None:
            span = _Span(merged.pop().num_rows + span.num_rows, None)
        merged.append(span)
    return merged


def place_all(
    store: Store, planned: Sequence[PlacedFiles], decider: Decider | None = None
) -> Iterator[Placed]:
    """Bring all files to `data/`, several at a time. Yields files and counts in the order of `planned`.

    With a `decider` all rows are read before the first one is written.
    """
    if decider is not None:
        for placed in planned:
            for file, spans in zip(placed.files, placed.spans, strict=True):
                for table, changes in _by_span(_tables(store, file), spans):
                    for batch in _changed(table, changes).to_batches():
                        decider.see(batch)
    return map_ahead(
        lambda placed: _place(store, placed, decider), planned, NUM_MOVERS if decider is None else 1
    )


def _place(store: Store, placed: PlacedFiles, decider: Decider | None) -> Placed:
    """Bring files to `data/`; returns them as the manifest lists them, and the counts of their rows."""
    if not placed.is_changed and decider is None:
        return [_move(store, file, placed.index) for file in placed.files], placed.counts
    files: list[ManifestFile] = []
    counts = placed.counts
    for file, spans in zip(placed.files, placed.spans, strict=True):
        target = data_file(str(file.split), placed.index)
        pieces = _Pieces(_tables(store, file), spans, decider)
        written = write_tables(store, target, IMAGE_SCHEMA, pieces, file.split)
        counts += pieces.difference
        if written.num_rows:
            files.append(_listed(written, target))
        else:
            store.delete(target)
    return files, counts


class _Pieces:
    """The rows of a file after their changes, as tables. `difference`: what the changes do to its counts.

    Rows that do not change stay Arrow tables.
    """

    def __init__(self, tables: Iterator[pa.Table], spans: Sequence[_Span], decider: Decider | None) -> None:
        self._tables, self._spans, self._decider = tables, spans, decider
        self.difference = Counts()

    def __iter__(self) -> Iterator[pa.Table]:
        for table, changes in _by_span(self._tables, self._spans):
            if changes is None and self._decider is None:
                yield table
                continue
            before = _count(table)
            changed = _changed(table, changes)
            if self._decider is not None:
                decided = [self._decider.decide(batch).batch for batch in changed.to_batches()]
                changed = pa.Table.from_batches(decided, changed.schema)
            self.difference += _count(changed) - before
            if changed.num_rows:
                yield changed


def _by_span(tables: Iterator[pa.Table], spans: Sequence[_Span]) -> Iterator[tuple[pa.Table, Changes | None]]:
    """The tables, cut where the changes of their rows begin and end."""
    ends: list[tuple[int, Changes | None]] = []
    for span in spans:
        ends.append(((ends[-1][0] if ends else 0) + span.num_rows, span.changes))
    at = first_row = 0
    for table in tables:
        start = 0
        while start < table.num_rows:
            while ends[at][0] <= first_row + start:
                at += 1
            stop = min(table.num_rows, ends[at][0] - first_row)
            yield table.slice(start, stop - start), ends[at][1]
            start = stop
        first_row += table.num_rows


def _changed(table: pa.Table, changes: Changes | None) -> pa.Table:
    return table if changes is None else changes.apply(table)


def _count(table: pa.Table) -> Counts:
    return sum(map(count_batch, table.to_batches()), Counts())


def _tables(store: Store, file: ShardFile) -> Iterator[pa.Table]:
    try:
        yield from read_tables(store, [file])
    except FileNotFoundError as error:
        raise gone_file(store, file.path) from error


def _move(store: Store, file: ShardFile, index: int) -> ManifestFile:
    target = data_file(str(file.split), index)
    if not is_current(file):
        return _listed(write_tables(store, target, IMAGE_SCHEMA, _tables(store, file), file.split), target)
    try:
        refuse_damaged(store, file)
        store.place(file.path, target)
    except FileNotFoundError as error:
        # An earlier attempt may have moved it and stopped before the manifest.
        if not store.exists(target) or store.size(target) != file.num_bytes:
            raise gone_file(store, file.path) from error
    return _listed(file, target)


def _listed(file: ShardFile, target: str) -> ManifestFile:
    return ManifestFile(path=target, **file.model_dump(exclude={"path", "split"}))
