"""Rows as the bytes of a Parquet file: row groups sized for streaming, zstd, statistics, page index.

A row group ends at 1,000 rows or 64 MiB of pixels and text, whichever comes first, so that a
reader that streams holds one group and a thousand labelled rows are one read. Strings that
repeat are dictionary-encoded; ids, numbers and pixels are not. Equal rows give equal bytes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fo1_data.dataset.arrow_columns import array_to_numpy, to_scalar
from fo1_data.dataset.items import Items, labels_of
from fo1_data.dataset.rows import rejects_to_table, rows_to_table
from schemas.images import ImageRow, Reject
from schemas.parquet import IMAGE_SCHEMA, REJECT_SCHEMA
from schemas.tracks import TRACK_SCHEMA, VIDEO_SCHEMA

ROW_GROUP_ROWS = 1_000
ROW_GROUP_BYTES = 64 * 2**20
_NO_BYTES = to_scalar(0, pa.int32())

# Repeated strings only: a dictionary of unique ids or encoded images is memory for nothing.
_REPEATED_ENDS = (
    "corpus", "split", "kind", "decision", "source", "box_source", "source_label", "annotator",
    "annotated_at", "name", "reasons.list.element", "phrase", "question", "brief_caption", "text", "answer",
    "orientation", "video_id",
)  # fmt: skip


def _leaves(kind: pa.DataType, path: str) -> Iterator[str]:
    """Parquet's column paths of a nested Arrow type."""
    if pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(field.type, f"{path}.{field.name}")
    elif pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _leaves(kind.value_type, f"{path}.list.element")
    else:
        yield path


def _is_repeated(path: str) -> bool:
    return path.startswith("provenance.") or any(
        path == end or path.endswith(f".{end}") for end in _REPEATED_ENDS
    )


def leaf_columns(schema: pa.Schema) -> list[str]:
    """Every Parquet column of a schema, by its path."""
    return [path for field in schema for path in _leaves(field.type, field.name)]


_NO_STATISTICS = ("image.bytes", "regions.list.element.mask_rle.counts")


def _column_options(schema: pa.Schema) -> dict[str, Any]:
    paths = leaf_columns(schema)
    return {
        "use_dictionary": [path for path in paths if _is_repeated(path)],
        "write_statistics": [path for path in paths if path not in _NO_STATISTICS],
    }


_COLUMN_OPTIONS = [(schema, _column_options(schema)) for schema in (IMAGE_SCHEMA, VIDEO_SCHEMA, TRACK_SCHEMA)]


def row_bytes(row: ImageRow) -> int:
    """About how many bytes a row takes in memory: its pixels, its labels and its masks."""
    labels = sum(120 + 40 * len(label.signals) for label in row.all_labels())
    masks = sum(len(region.mask_rle.counts) for region in row.regions if region.mask_rle is not None)
    return len(row.image.bytes or b"") + 500 + 200 * len(row.regions) + labels + masks


def bytes_of_rows(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """`row_bytes` (N,) of the rows of a batch."""
    row = Items.of(batch)
    pixels = pc.fill_null(pc.binary_length(row["image"]["bytes"].values), _NO_BYTES)
    sizes = 500 + array_to_numpy(pixels).astype(np.int64)
    sizes += 200 * np.bincount(row["regions"].each.rows, minlength=len(row))
    if "mask_rle" in row["regions"].each:
        masks = row["regions"].each["mask_rle"].present
        lengths = pc.utf8_length(masks["counts"].values)
        sizes += np.bincount(masks.rows, array_to_numpy(lengths), len(row)).astype(np.int64)
    for labels in labels_of(row):
        sizes += 120 * np.bincount(labels.rows, minlength=len(row))
        sizes += 40 * np.bincount(labels["signals"].each.rows, minlength=len(row))
    return sizes


def ends_of_groups(sizes: npt.NDArray[np.int64]) -> list[int]:
    """The position after the last row of each row group. `sizes` (N,): `row_bytes` of each row."""
    total = np.concatenate([[0], np.cumsum(sizes)])
    ends = [0]
    while ends[-1] < len(sizes):
        start = ends[-1]
        full = int(np.searchsorted(total, total[start] + ROW_GROUP_BYTES, side="right")) - 1
        ends.append(max(start + 1, min(full, start + ROW_GROUP_ROWS)))
    return ends[1:]


def row_groups(rows: Sequence[ImageRow]) -> Iterator[Sequence[ImageRow]]:
    """The rows in runs that fit a row group."""
    start = 0
    for end in ends_of_groups(np.array([row_bytes(row) for row in rows], np.int64)):
        yield rows[start:end]
        start = end


def row_group_sizes(rows: Sequence[ImageRow]) -> list[int]:
    """The number of rows of each row group that `encode_rows` makes of the rows."""
    return [len(group) for group in row_groups(rows)]


def parquet_writer(sink: Any, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of rows (`IMAGE_SCHEMA`), rejects, videos or tracks, by their schema, to an open file."""
    columns = next((options for known, options in _COLUMN_OPTIONS if schema is known), {})
    return pq.ParquetWriter(sink, schema, compression="zstd", write_page_index=True, **columns)


def encode_rows(rows: Sequence[ImageRow]) -> bytes:
    """A complete Parquet file of the rows, in order (none: an empty one)."""
    return _encode(rows_to_table(group) for group in row_groups(rows))[0]


def encode_batches(batches: Iterable[pa.RecordBatch]) -> tuple[bytes, list[int]]:
    """A file as `encode_rows` makes it of the rows of batches of `IMAGE_SCHEMA`, and its `row_group_rows`."""
    return _encode(_groups_of_batches(batches))


def _groups_of_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The rows in runs that fit a row group; holds one group and a batch."""
    pending: list[pa.RecordBatch] = []
    for batch in batches:
        rows, start = pa.concat_batches([*pending, batch]), 0
        for end in ends_of_groups(bytes_of_rows(rows))[:-1]:
            yield pa.Table.from_batches([rows.slice(start, end - start)])
            start = end
        pending = [rows.slice(start)]
    if pending and pending[0].num_rows:
        yield pa.Table.from_batches(pending)


def _encode(groups: Iterable[pa.Table]) -> tuple[bytes, list[int]]:
    sink = pa.BufferOutputStream()
    row_group_rows = []
    with parquet_writer(sink, IMAGE_SCHEMA) as writer:
        for group in groups:
            writer.write_table(group, row_group_size=len(group))
            row_group_rows.append(len(group))
    return bytes(sink.getvalue()), row_group_rows


def encode_rejects(rejects: Sequence[Reject]) -> bytes:
    """A complete Parquet file of the rejects, in order (none: an empty one)."""
    sink = pa.BufferOutputStream()
    with parquet_writer(sink, REJECT_SCHEMA) as writer:
        writer.write_table(rejects_to_table(rejects))
    return bytes(sink.getvalue())
