"""A version made from another version: rows added, or files taken over or replaced; sealed last.

Videos and tracks are taken over, or written anew by `video_tables`. Files are named and numbered per split,
256 MiB of rows each. A folder where the same step was interrupted is begun again; any other folder that is
not empty is refused. Does not choose the rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from fo1_data.dataset.counting import count_batch, count_rows
from fo1_data.dataset.history import CorrectionHistory
from fo1_data.dataset.layout import MANIFEST, RUN, TRACKS, VIDEOS, data_file, is_table
from fo1_data.dataset.manifest import dump_json, find_manifest, fingerprint_digest, lineage, read_json
from fo1_data.dataset.parquet_files import bytes_of_rows, encode_batches, row_bytes
from fo1_data.dataset.reader import Dataset
from fo1_data.dataset.row_batches import BATCH_ROWS, regular_batches, rows_to_batch
from fo1_data.dataset.seal import seal_version
from fo1_data.dataset.stored_rows import write_file
from fo1_data.dataset.table_files import write_tables
from fo1_data.errors import DatasetError
from fo1_data.storage.store import Store, open_store
from schemas.dataset import SCHEMA_REVISION, SCHEMA_VERSION, Counts, Duplicate, Manifest, ManifestFile
from schemas.images import ImageRow, Reject

FILE_BYTES = 256 * 2**20
_COPIED_BYTES = 2**22
_STEP = f"{RUN}/derivation.json"


def counts_of(dataset: Dataset) -> Counts:
    """The counts of a version; of an older one, which did not count where its boxes came from, made anew."""
    counts = dataset.manifest.counts
    if counts.knows_boxes:
        return counts
    batches = (batch for file in dataset.data_files() for batch in regular_batches(dataset.store, file.path))
    return sum(map(count_batch, batches), Counts(rejected=counts.rejected))


class VersionWriter:
    """Writes a version of `source` into `out`. `step`: what is done, in JSON values.

    `address`: where `source` lies; it is kept in the manifest, so that the origin can be traced.
    Raises DatasetError if `out` holds anything but the same step, interrupted: so also where it is finished.
    """

    def __init__(
        self,
        out: str,
        source: Manifest,
        step: Mapping[str, Any],
        address: str | None = None,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        self.source = source
        self._address = address
        self._file_bytes = file_bytes
        self._store = open_store(out)
        self._step = dict(step)
        self._files: list[ManifestFile] = []
        self._counts = Counts()
        self._pending: dict[str, _PendingRows] = {}
        self._pending_bytes: dict[str, int] = {}
        self._next_index: dict[str, int] = {}
        self._begin()

    def add(self, row: ImageRow) -> None:
        """Add a row at the end of its split."""
        self._counts += count_rows([row])
        self._pending.setdefault(row.split, _PendingRows()).add(row)
        size = self._pending_bytes.get(row.split, 0) + row_bytes(row)
        self._pending_bytes[row.split] = size
        if size >= self._file_bytes:
            self._flush(row.split)

    def add_batch(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch of `IMAGE_SCHEMA`, one after another, as `add` does."""
        self._counts += count_batch(batch)
        sizes, start = bytes_of_rows(batch), 0
        for split, rows in groupby(batch["split"].to_pylist()):
            end = start + sum(1 for _ in rows)
            while start < end:
                totals = self._pending_bytes.get(split, 0) + np.cumsum(sizes[start:end])
                num = min(int(np.searchsorted(totals, self._file_bytes)) + 1, end - start)
                self._pending.setdefault(split, _PendingRows()).add_batch(batch.slice(start, num))
                self._pending_bytes[split] = int(totals[num - 1])
                if self._pending_bytes[split] >= self._file_bytes:
                    self._flush(split)
                start += num

    def copy(self, origin: Store, file: ManifestFile, counts: Counts) -> None:
        """Take a data file over as it is; `counts`: the counts of its rows."""
        self.share(origin, file)
        self._counts += counts

    def share(self, origin: Store, file: ManifestFile) -> bool:
        """Take a data file over, by reference if the stores allow; its rows are not counted here.

        A file of an older schema is written anew, so that all files of a version have one schema. Returns
        False then.
        """
        if self.source.schema_version < SCHEMA_VERSION or file.schema_revision < SCHEMA_REVISION:
            self.rewrite(file.path, regular_batches(origin, file.path))
            return False
        self._store.take_over(origin, file.path)
        self._files.append(file)
        return True

    def rewrite(self, path: str, batches: Iterable[pa.RecordBatch]) -> None:
        """Write the rows of batches of `IMAGE_SCHEMA` as the data file `path`; no rows: no file.

        They are not counted here.
        """
        self.put(path, *encode_batches(batches))

    def share_tables(self, origin: Store) -> None:
        """Take the videos and tracks over as they are."""
        for table in (VIDEOS, TRACKS):
            self.share_table(origin, table)

    def share_table(self, origin: Store, table: str) -> None:
        """Take `VIDEOS` or `TRACKS` over as it is, if the source has it.

        A version whose next one was begun in its own folder has it under another name (`older_name`).
        """
        for file in self.source.files:
            if file.path == table:
                self._store.take_over(origin, table)
                self._files.append(file)
            elif is_table(file.path, table):
                with origin.open_input(file.path) as stored:
                    self._store.write_chunks(table, iter(lambda: stored.read(_COPIED_BYTES), b""))
                self._files.append(file.model_copy(update={"path": table}))

    def write_table(self, table: str, schema: pa.Schema, rows: Iterable[pa.Table]) -> None:
        """Write `VIDEOS` or `TRACKS`; no rows: no file."""
        written = write_tables(self._store, table, schema, rows, None)
        if written.num_rows:
            self._files.append(ManifestFile(**written.model_dump(exclude={"split", "schema_revision"})))
        else:
            self._store.delete(table)

    def put(self, path: str, data: bytes, row_group_rows: list[int], counts: Counts | None = None) -> None:
        """Write the data file `path` as of `encode_batches`. `counts`: of its rows, if not counted yet."""
        self._counts += counts or Counts()
        if row_group_rows:
            file = write_file(self._store, path, data, sum(row_group_rows))
            update = {"row_group_rows": row_group_rows, "schema_revision": SCHEMA_REVISION}
            self._files.append(file.model_copy(update=update))

    def seal(
        self,
        version: str,
        rejects: Sequence[Reject] = (),
        duplicates: Sequence[Duplicate] = (),
        *,
        history: CorrectionHistory | None = None,
        base_counts: Counts | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Write the pending rows and end the version; returns its manifest.

        `history`: the corrections of the version's images. `base_counts`: counts of the rows that were
        not counted here. `more`: further members of the manifest.
        """
        for split in sorted(self._pending):
            self._flush(split)
        draft = self.source.model_copy(
            update={
                "version": version,
                "files": self._files,
                "duplicates": list(duplicates),
                "counts": self._counts + (base_counts or Counts()),
                "fingerprint": fingerprint_digest({"of": self.source.fingerprint, **self._step}),
                "step": self._step,
                "parent_address": self._address,
                **(more or {}),
            }
        )
        manifest = seal_version(self._store, draft, rejects, history, self.source)
        self._store.delete(_STEP)
        return manifest

    def _begin(self) -> None:
        begun = {"step": self._step, **lineage(self.source)}
        try:
            earlier = read_json(self._store, _STEP)
        except FileNotFoundError:
            earlier = {}
        except DatasetError as error:
            raise DatasetError(f"{error}; delete {self._store.url} and run again") from None
        if earlier != begun and (earlier or self._store.list()):
            if not earlier and self._is_finished():
                raise DatasetError(f"{self._store.url} is not empty: this step has finished it already")
            raise DatasetError(f"{self._store.url} is not empty: name a new folder as --out")
        self._store.delete(MANIFEST)  # first: it says that all is there
        for path in self._store.list("data"):
            self._store.delete(path)
        self._store.write_bytes(_STEP, dump_json(begun))

    def _is_finished(self) -> bool:
        """Whether the folder holds what this step makes of this source."""
        made, of = find_manifest(self._store), lineage(self.source)
        return made is not None and made.step == self._step and made.parent_sha256 == of["parent_sha256"]

    def _flush(self, split: str) -> None:
        rows = self._pending.pop(split, None)
        self._pending_bytes[split] = 0
        if rows is not None:
            index = self._next_index.get(split, 0)
            self._next_index[split] = index + 1
            self.rewrite(data_file(split, index), rows.batches())


class _PendingRows:
    """Rows that wait for their file: as record batches, because models take several times the memory."""

    def __init__(self) -> None:
        self._batches: list[pa.RecordBatch] = []
        self._rows: list[ImageRow] = []

    def add(self, row: ImageRow) -> None:
        self._rows.append(row)
        if len(self._rows) >= BATCH_ROWS:
            self._close_batch()

    def add_batch(self, batch: pa.RecordBatch) -> None:
        if self._rows:
            self._close_batch()
        self._batches.append(batch)

    def batches(self) -> list[pa.RecordBatch]:
        """All rows, in order."""
        if self._rows:
            self._close_batch()
        return self._batches

    def _close_batch(self) -> None:
        self._batches.append(rows_to_batch(self._rows))
        self._rows = []
