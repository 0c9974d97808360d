"""Parquet files of a run read and written as a stream of Arrow tables: no row becomes a Python object.

Memory: a row group, and a few small files that are read ahead.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from fo1_data.dataset.added_members import complete
from fo1_data.dataset.done_shards import damaged_file
from fo1_data.dataset.parquet_files import ROW_GROUP_BYTES, ROW_GROUP_ROWS, bytes_of_rows, parquet_writer
from fo1_data.dataset.prefetch import map_ahead
from fo1_data.dataset.tracks_table import bytes_of_tracks
from fo1_data.storage.store import Store
from schemas.dataset import SCHEMA_REVISION
from schemas.shards import ShardFile

READERS = 8
# Files up to this size are read whole, and several at a time.
SMALL_BYTES = 2 * 2**20


def read_tables(store: Store, files: Sequence[ShardFile]) -> Iterator[pa.Table]:
    """The rows of some files, in order and in the columns of today, a table for each row group.

    Raises FileNotFoundError, and StorageError if the bytes of a file are not those that were written.
    """
    ahead = map_ahead(lambda file: _load_small(store, file), files, READERS)
    for file, table in zip(files, ahead, strict=True):
        if table is not None:
            yield _current(table, file)
            continue
        refuse_damaged(store, file)
        with store.open_input(file.path) as source:
            parquet = pq.ParquetFile(source)
            for group in range(parquet.num_row_groups):
                yield _current(parquet.read_row_group(group), file)


def refuse_damaged(store: Store, file: ShardFile) -> None:
    """Raise StorageError unless a file holds the bytes that were written; FileNotFoundError if it is gone.

    On an object store, which checks the bytes itself, only the size is compared: that fetches nothing.
    """
    local = store.local_path(file.path)
    if local is None:
        is_whole = store.size(file.path) == file.num_bytes
    else:
        with local.open("rb") as content:
            is_whole = hashlib.file_digest(content, "sha256").hexdigest() == file.sha256
    if not is_whole:
        raise damaged_file(store, file.path)


def write_tables(
    store: Store, path: str, schema: pa.Schema, tables: Iterable[pa.Table], split: str | None
) -> ShardFile:
    """Write the rows of all tables as one file; its row groups are as large as `parquet_files` allows."""
    row_group_rows = []
    with store.open_output(path) as output:
        hashing = _Hashing(output)
        with parquet_writer(pa.PythonFile(hashing, mode="w"), schema) as writer:
            for group in in_row_groups(tables):
                writer.write_table(group, row_group_size=group.num_rows)
                row_group_rows.append(group.num_rows)
    return ShardFile(
        split=split,
        path=path,
        num_rows=sum(row_group_rows),
        num_bytes=hashing.num_bytes,
        sha256=hashing.sha256.hexdigest(),
        row_group_rows=row_group_rows,
        schema_revision=SCHEMA_REVISION,
    )


def in_row_groups(
    tables: Iterable[pa.Table], max_rows: int = ROW_GROUP_ROWS, max_bytes: int = ROW_GROUP_BYTES
) -> Iterator[pa.Table]:
    """The rows of all tables in order, joined and cut to tables of at most `max_rows` and `max_bytes`.

    A row that alone exceeds `max_bytes` is a table of its own.
    """
    held: list[pa.Table] = []
    rows_left, bytes_left = max_rows, max_bytes
    for table in tables:
        ends = np.cumsum(_row_sizes(table))
        start = 0
        while start < table.num_rows:
            before = int(ends[start - 1]) if start else 0
            fitting = int(np.searchsorted(ends, before + bytes_left, side="right"))
            stop = min(fitting, start + rows_left, table.num_rows)
            if stop == start and not held:
                stop = start + 1
            if stop > start:
                held.append(table.slice(start, stop - start))
                rows_left -= stop - start
                bytes_left -= int(ends[stop - 1]) - before
            if stop < table.num_rows or rows_left == 0:
                yield pa.concat_tables(held)
                held, rows_left, bytes_left = [], max_rows, max_bytes
            start = stop
    if held:
        yield pa.concat_tables(held)


def _load_small(store: Store, file: ShardFile) -> pa.Table | None:
    if file.num_bytes > SMALL_BYTES:
        return None
    data = store.read_bytes(file.path)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise damaged_file(store, file.path)
    return pq.ParquetFile(io.BytesIO(data)).read()


def is_current(file: ShardFile) -> bool:
    """Whether a file has the columns of today; one of rejects (without a split) always has."""
    return file.split is None or file.schema_revision >= SCHEMA_REVISION


def _current(table: pa.Table, file: ShardFile) -> pa.Table:
    return table if is_current(file) else complete(table)


def _row_sizes(table: pa.Table) -> npt.NDArray[np.int64]:
    """(rows,) about the bytes of each row; those of rejects and videos are not counted."""
    if "boxes_xyxy" in table.column_names:
        return bytes_of_tracks(table)
    if "image" not in table.column_names:
        return np.zeros(table.num_rows, dtype=np.int64)
    empty: list[npt.NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
    return np.concatenate(empty + [bytes_of_rows(batch) for batch in table.combine_chunks().to_batches()])


class _Hashing:
    """An open file that hashes and counts what is written to it."""

    closed = False

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self.sha256 = hashlib.sha256()
        self.num_bytes = 0

    def write(self, data: Any) -> int:
        self._output.write(data)
        self.sha256.update(data)
        self.num_bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """The file is flushed when it is closed."""

    def close(self) -> None:
        """The file is closed by whoever opened it."""
