"""Images embedded in Parquet files: an entry names the file, the column and the row (`image@row12`).

The bytes are read a few rows at a time, forward, as shards ask for them; each process keeps one open file and
the last rows it read. A row further back is read again from the start of its row group.
"""

import re
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fo1_data.corpus.images import InputLimits
from fo1_data.errors import CorpusError, InputReject, one_line
from fo1_data.storage.addresses import suffix_of
from fo1_data.storage.fetch_rejects import reject, too_large
from fo1_data.storage.streams import open_seekable
from schemas.corpus import CorpusImage
from schemas.images import RejectStage

# What reading a damaged Parquet file raises.
BROKEN_PARQUET = (pa.ArrowException, OSError, ValueError)
_INNER = re.compile(r"(.+)@row(\d+)")
_BATCH_ROWS = 8
_KEPT_BATCHES = 4


def inner_of_row(column: str, row: int) -> str:
    """The name of the image in a column and row (from 0, over the whole file)."""
    return f"{column}@row{row}"


def is_parquet_row(entry: CorpusImage) -> bool:
    """Whether the entry's image is embedded in a Parquet file."""
    return suffix_of(entry.uri) == ".parquet" and bool(_INNER.fullmatch(entry.inner or ""))


def bytes_column(schema: pa.Schema, column: str) -> str | None:
    """The path of the leaf column with the bytes of an image column; None if the column holds none.

    The column is binary, or, as Hugging Face writes images, a struct of `bytes` and `path`.
    """
    index = schema.get_field_index(column)
    field_type = schema.field(index).type if index >= 0 else pa.null()
    if _is_binary(field_type):
        return column
    if pa.types.is_struct(field_type):
        inner = field_type.get_field_index("bytes")
        return f"{column}.bytes" if inner >= 0 and _is_binary(field_type.field(inner).type) else None
    return None


def _is_binary(data_type: pa.DataType) -> bool:
    return bool(pa.types.is_binary(data_type) or pa.types.is_large_binary(data_type))


def embedded_rows(parquet: pq.ParquetFile, leaf: str) -> Iterator[bool]:
    """For each row of the file whether it has bytes; from the statistics of a row group if these tell."""
    names = [parquet.schema.column(number).path for number in range(len(parquet.schema))]
    number = names.index(leaf)
    for group in range(parquet.num_row_groups):
        num_rows = parquet.metadata.row_group(group).num_rows
        statistics = parquet.metadata.row_group(group).column(number).statistics
        num_null = statistics.null_count if statistics is not None and statistics.has_null_count else None
        if num_null in (0, num_rows):
            yield from [num_null == 0] * num_rows
            continue
        for batch in parquet.iter_batches(_BATCH_ROWS, row_groups=[group], columns=[leaf]):
            yield from (valid.as_py() for valid in _leaf(batch).is_valid())


def _leaf(batch: pa.RecordBatch) -> pa.Array:
    column = batch.column(0)
    return column.flatten()[0] if pa.types.is_struct(column.type) else column


def read_parquet_image(entry: CorpusImage, limits: InputLimits) -> bytes:
    """Read the bytes of an embedded image. Raises InputReject (stage `fetch`)."""
    match = _INNER.fullmatch(entry.inner or "")
    assert match is not None
    with _LOCK:
        try:
            data = _rows_of(entry.uri, match[1]).read(int(match[2]))
        except (CorpusError, *BROKEN_PARQUET) as error:
            _open.clear()
            raise reject("unreadable", f"{entry.name}: {one_line(error)}") from error
    if data is None:
        raise InputReject(RejectStage.FETCH, "not_found", f"{entry.name}: the row has no bytes")
    if len(data) > limits.max_bytes:
        raise too_large(entry.name, len(data), limits.max_bytes)
    return data


_LOCK = threading.Lock()
_open: dict[tuple[str, str], "_Rows"] = {}


def _rows_of(address: str, column: str) -> "_Rows":
    rows = _open.get((address, column))
    if rows is None:
        _open.clear()
        rows = _open[address, column] = _Rows(address, column)
    return rows


class _Rows:
    """The bytes of a column of an open file, row by row."""

    def __init__(self, address: str, column: str) -> None:
        self._parquet = pq.ParquetFile(open_seekable(address), buffer_size=2**20, pre_buffer=False)
        leaf = bytes_column(self._parquet.schema_arrow, column)
        if leaf is None:
            raise CorpusError(f"the column {column} holds no images")
        self._leaf = leaf
        metadata = self._parquet.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._starts = [0, *accumulate(sizes)]
        self._batches: Iterator[Any] = iter(())
        self._group = -1
        self._next_row = 0
        self._kept: deque[tuple[int, pa.Array]] = deque(maxlen=_KEPT_BATCHES)

    def read(self, row: int) -> bytes | None:
        """The bytes of a row; None if it has none."""
        if row >= self._starts[-1]:
            raise CorpusError(f"there are {self._starts[-1]} rows")
        for start, values in self._kept:
            if start <= row < start + len(values):
                return self._bytes(values, row - start)
        group = bisect_right(self._starts, row) - 1
        if group != self._group or row < self._next_row:
            self._group, self._next_row = group, self._starts[group]
            self._batches = self._parquet.iter_batches(_BATCH_ROWS, row_groups=[group], columns=[self._leaf])
        while self._next_row <= row:
            values = _leaf(next(self._batches))
            self._kept.append((self._next_row, values))
            self._next_row += len(values)
        start, values = self._kept[-1]
        return self._bytes(values, row - start)

    @staticmethod
    def _bytes(values: pa.Array, place: int) -> bytes | None:
        data: bytes | None = values[place].as_py()
        return data
