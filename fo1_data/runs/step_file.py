"""The file of a step or a piece of a shard, until the shard is written from them: whole, or not there.

A line of JSON, the rows as a Parquet file, and the CRC-32 of both: a changed byte would come into the dataset
with a right hash. A damaged step is deleted, because it is labelled again where it is not there.
"""

import io
import zlib
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from fo1_data.dataset.parquet_files import encode_rows
from fo1_data.errors import StorageError
from fo1_data.storage.store import Store
from schemas.images import ImageRow

SUFFIX = ".step"
_CHECKSUM_BYTES = 4


def write_step(store: Store, path: str, document: str, rows: Sequence[ImageRow]) -> None:
    """Write a step, unless another worker was faster. document: JSON in one line. Raises StorageError."""
    content = document.encode() + b"\n" + encode_rows(rows)
    store.create_exclusive(path, content + _checksum(content))


def read_step(store: Store, path: str) -> tuple[bytes, pa.Table]:
    """The document and the rows of a step. Raises StorageError if it is gone or damaged."""
    try:
        data = store.read_bytes(path)
    except FileNotFoundError as error:
        raise StorageError(f"{store.address(path)} is gone: run again") from error
    content = data[:-_CHECKSUM_BYTES]
    if _checksum(content) != data[-_CHECKSUM_BYTES:]:
        store.delete(path)
        raise StorageError(f"{store.address(path)} was damaged and is deleted: run again")
    document, _, rows = content.partition(b"\n")
    return document, pq.ParquetFile(io.BytesIO(rows)).read()


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(_CHECKSUM_BYTES, "big")
