"""Rows and rejects written as Parquet files of a store, each described as a manifest lists it."""

import hashlib
from collections.abc import Sequence

from fo1_data.dataset.layout import REJECTS
from fo1_data.dataset.parquet_files import encode_rejects, encode_rows, row_group_sizes
from fo1_data.storage.store import Store
from schemas.dataset import SCHEMA_REVISION, ManifestFile
from schemas.images import ImageRow, Reject


def write_rows(store: Store, path: str, rows: Sequence[ImageRow]) -> ManifestFile:
    """Write rows as a Parquet file; returns the file as a manifest lists it."""
    file = write_file(store, path, encode_rows(rows), len(rows))
    update = {"row_group_rows": row_group_sizes(rows), "schema_revision": SCHEMA_REVISION}
    return file.model_copy(update=update)


def write_rejects(store: Store, rejects: Sequence[Reject], path: str = REJECTS) -> ManifestFile:
    """Write rejects as a Parquet file (an empty one for none); returns it as a manifest lists it."""
    return write_file(store, path, encode_rejects(rejects), len(rejects))


def write_file(store: Store, path: str, data: bytes, num_rows: int) -> ManifestFile:
    """Write a file of `num_rows` rows or lines; returns it as a manifest lists it."""
    store.write_bytes(path, data)
    digest = hashlib.sha256(data).hexdigest()
    return ManifestFile(path=path, num_rows=num_rows, num_bytes=len(data), sha256=digest)
