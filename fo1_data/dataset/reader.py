"""A finished dataset, read: its manifest, its rows one at a time, its rejects, its videos and tracks.

Only the files that the manifest lists are read, in its order. Streaming: one batch of rows is held
at a time. Does not check hashes; that is `validate`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fo1_data.dataset.history import CorrectionHistory, read_history
from fo1_data.dataset.layout import REJECTS, TRACKS, VIDEOS, is_table, split_and_index
from fo1_data.dataset.manifest import read_manifest
from fo1_data.dataset.rows import record_to_row, table_to_rejects
from fo1_data.dataset.tracks_table import table_to_tracks, table_to_videos
from fo1_data.errors import DatasetError
from fo1_data.storage.store import Store, open_store
from schemas.dataset import Manifest, ManifestFile
from schemas.images import ImageRow, Reject
from schemas.tracks import Track, VideoRow

BATCH_ROWS = 64


class Dataset:
    """A finished dataset. Rows come in the order of the files and of the rows in them."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self.store = store
        self.manifest = manifest

    def data_files(self) -> list[ManifestFile]:
        """The files that hold rows."""
        return data_files(self.manifest)

    def rows(self, split: str | None = None) -> Iterator[ImageRow]:
        """Every row, or those of one split."""
        for file in self.data_files():
            place = split_and_index(file.path)
            if split is None or (place is not None and place[0] == split):
                yield from self.rows_of(file)

    def rows_of(self, file: ManifestFile) -> Iterator[ImageRow]:
        """The rows of one file."""
        for batch in _batches(self.store, file.path, None):
            for record in batch.to_pylist():
                yield record_to_row(record)

    def rejects(self) -> Iterator[Reject]:
        """Every input or box that gave no label."""
        for batch in self.batches_of(REJECTS):
            yield from table_to_rejects(batch)

    def videos(self) -> Iterator[VideoRow]:
        """Every video whose things were followed, in batches."""
        for batch in self.batches_of(VIDEOS):
            yield from table_to_videos(batch)

    def tracks(self) -> Iterator[Track]:
        """Every track, in the order of the videos, in batches. `region.track_id` names one."""
        for batch in self.batches_of(TRACKS):
            yield from table_to_tracks(batch)

    def batches_of(self, table: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of `REJECTS`, `VIDEOS` or `TRACKS` in batches; none if the version has no such table."""
        for file in self.manifest.files:
            if is_table(file.path, table):
                yield from _batches(self.store, file.path, list(columns) if columns is not None else None)

    def history(self) -> CorrectionHistory:
        """The corrections that were merged into this version and those before it."""
        return read_history(self.store, self.manifest.files)


def open_dataset(address: str) -> Dataset:
    """The finished dataset in a folder or at a URL. Raises DatasetError if there is none."""
    store = open_store(address)
    return Dataset(store, read_manifest(store))


def data_files(manifest: Manifest) -> list[ManifestFile]:
    """The files of a version that hold rows."""
    return [file for file in manifest.files if split_and_index(file.path) is not None]


def column_values(store: Store, manifest: Manifest, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A few columns of every row, without reading the others."""
    for file in data_files(manifest):
        for batch in _batches(store, file.path, list(columns)):
            yield from batch.to_pylist()


def image_ids_of(store: Store, file: ManifestFile) -> Iterator[str]:
    """The image ids of one data file, without reading its other columns."""
    for batch in _batches(store, file.path, ["image_id"]):
        yield from batch.column(0).to_pylist()


@contextmanager
def open_parquet(store: Store, path: str) -> Iterator[pq.ParquetFile]:
    """A data file to read from. Raises DatasetError, also in the block, if it is gone or damaged."""
    try:
        with store.open_input(path) as source:
            yield pq.ParquetFile(source)
    except FileNotFoundError as error:
        raise DatasetError(f"{store.address(path)} is missing though the manifest lists it") from error
    except (pa.ArrowException, ValueError, OSError) as error:
        raise DatasetError(f"{store.address(path)} cannot be read: {_one_line(error)}") from error


def _batches(store: Store, path: str, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    with open_parquet(store, path) as parquet:
        yield from parquet.iter_batches(batch_size=BATCH_ROWS, columns=columns)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
