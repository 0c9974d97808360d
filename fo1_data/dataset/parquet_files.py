"""Rows as the bytes of a Parquet file: row groups sized for streaming, zstd, statistics, page index.

A row group ends at 1,000 rows or 64 MiB of pixels and text, whichever comes first, so that a
reader that streams holds one group and a thousand labelled rows are one read. Strings that
repeat are dictionary-encoded; ids, numbers and pixels are not. Equal rows give equal bytes.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from fo1_data.dataset.rows import rejects_to_table, rows_to_table
from schemas.images import ImageRow, Reject
from schemas.parquet import IMAGE_SCHEMA, REJECT_SCHEMA

ROW_GROUP_ROWS = 1_000
ROW_GROUP_BYTES = 64 * 2**20

# Repeated strings only: a dictionary of unique ids or encoded images is memory for nothing.
_REPEATED_ENDS = (
    "corpus", "split", "kind", "decision", "source", "box_source", "source_label", "annotator",
    "annotated_at", "name", "reasons.list.element", "phrase", "question", "brief_caption", "text", "answer",
    "orientation",
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


DICTIONARY_COLUMNS = [path for path in leaf_columns(IMAGE_SCHEMA) if _is_repeated(path)]
STATISTICS_COLUMNS = [path for path in leaf_columns(IMAGE_SCHEMA) if path != "image.bytes"]


def row_bytes(row: ImageRow) -> int:
    """About how many bytes a row takes in memory: its pixels and its labels."""
    labels = sum(120 + 40 * len(label.signals) for label in row.all_labels())
    return len(row.image.bytes or b"") + 500 + 200 * len(row.regions) + labels


def row_groups(rows: Sequence[ImageRow]) -> Iterator[Sequence[ImageRow]]:
    """The rows in runs that fit a row group."""
    start, num_bytes = 0, 0
    for position, row in enumerate(rows):
        size = row_bytes(row)
        full = num_bytes + size > ROW_GROUP_BYTES or position - start >= ROW_GROUP_ROWS
        if full and position > start:
            yield rows[start:position]
            start, num_bytes = position, 0
        num_bytes += size
    if start < len(rows):
        yield rows[start:]


def row_group_sizes(rows: Sequence[ImageRow]) -> list[int]:
    """The number of rows of each row group that `encode_rows` makes of the rows."""
    return [len(group) for group in row_groups(rows)]


def encode_rows(rows: Sequence[ImageRow]) -> bytes:
    """A complete Parquet file of the rows, in order (none: an empty one)."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        IMAGE_SCHEMA,
        compression="zstd",
        use_dictionary=DICTIONARY_COLUMNS,
        write_statistics=STATISTICS_COLUMNS,
        write_page_index=True,
    ) as writer:
        for group in row_groups(rows):
            writer.write_table(rows_to_table(group), row_group_size=len(group))
    return bytes(sink.getvalue())


def encode_rejects(rejects: Sequence[Reject]) -> bytes:
    """A complete Parquet file of the rejects, in order (none: an empty one)."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, REJECT_SCHEMA, compression="zstd", write_page_index=True) as writer:
        writer.write_table(rejects_to_table(rejects))
    return bytes(sink.getvalue())
