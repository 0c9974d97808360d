"""Copies the rows of registered datasets into the database's index, in the background.

Parquet is read in a thread, one batch at a time, without pixels and signals. Each batch is one short
transaction, so that others can write in between. If an indexer ends half way (its service stops, its process
was killed), another one starts over. A dataset whose files cannot be reached is tried again later; the index
that it had before stays until new rows are read.
"""

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy.exc import DataError
from sqlalchemy.ext.asyncio import AsyncSession

from fo1_data.dataset.parquet_files import leaf_columns
from fo1_data.dataset.reader import data_files
from fo1_data.errors import Fo1Error, StorageError
from fo1_data.storage.store import open_store
from schemas.dataset import Manifest
from schemas.parquet import IMAGE_SCHEMA
from services.background import Loop
from services.database.engine import Database
from services.database.models import TERM_SPAN, DatasetRecord, DatasetState, utc_now
from services.datasets import repository
from services.datasets.documents import document_of, pack, terms_of
from services.metrics import Metrics

BATCH_ROWS = 500
_STALE = timedelta(seconds=60)
RETRY_AFTER = timedelta(seconds=60)
_POLL_S = 2.0
_LEFT_OUT = ("image.bytes", ".signals.", ".mask_rle.")
_COLUMNS = [path for path in leaf_columns(IMAGE_SCHEMA) if not any(part in path for part in _LEFT_OUT)]
_log = logging.getLogger("fo1.service")


class Indexer:
    """Run its `loop`; call `wake` when a dataset was registered."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database, self._metrics = database, metrics
        self._name = uuid.uuid4().hex
        self.loop = Loop("datasets", self.index_next, _POLL_S)

    def wake(self) -> None:
        """Start the next step now."""
        self.loop.wake()

    async def index_next(self) -> bool:
        """Index one dataset; False if none waits."""
        async with self._database.writing() as session:
            record = await repository.claim_unindexed(
                session, self._name, utc_now() - _STALE, utc_now() + RETRY_AFTER
            )
            self._metrics.datasets.set(await repository.count_datasets(session))
        if record is None:
            return False
        try:
            await self._index(record)
        except (OSError, StorageError) as error:
            await self._fail(record.number, error, utc_now() + RETRY_AFTER)
        except (Fo1Error, pa.ArrowException, DataError) as error:
            await self._fail(record.number, error, None)
        return True

    async def _index(self, record: DatasetRecord) -> None:
        batches = read_batches(record.address, Manifest.model_validate(record.manifest))
        terms = IndexTerms(record.number)
        position = 0
        batch = await asyncio.to_thread(_prepare, batches, terms, position)
        if not await self._begin(record.number):
            return
        while batch is not None:
            async with self._database.writing() as session:
                current = await self._own(session, record.number)
                if current is None:
                    return
                await repository.add_samples(session, *batch.rows(record.number))
                current.indexer_seen_at = None if self.loop.ending else utc_now()
                current.num_samples = position = position + len(batch.samples)
            if self.loop.ending:
                return  # the next service starts over at once
            batch = await asyncio.to_thread(_prepare, batches, terms, position)
        async with self._database.writing() as session:
            current = await self._own(session, record.number)
            if current is not None:
                await repository.add_terms(session, terms.rows())
                current.state, current.error, current.num_samples = DatasetState.READY, None, position

    async def _begin(self, number: int) -> bool:
        """Make room for a new index; False if the dataset is another indexer's now."""
        async with self._database.writing() as session:
            record = await self._own(session, number)
            if record is None:
                return False
            await repository.delete_index(session, number)
            record.state, record.error, record.num_samples = DatasetState.INDEXING, None, 0
            record.retry_at = None
        return True

    async def _fail(self, number: int, error: Exception, retry_at: datetime | None) -> None:
        async with self._database.writing() as session:
            record = await self._own(session, number)
            if record is None:
                return
            text = " ".join(str(error).split())[:500]
            # Nothing was deleted yet if the index has every image.
            kept = 0 < record.num_samples == record.manifest["counts"]["images"]
            record.state = DatasetState.READY if kept else DatasetState.FAILED
            record.error = f"{text} (it is tried again every minute)" if retry_at is not None else text
            record.num_samples = record.num_samples if kept else 0
            record.retry_at = retry_at

    async def _own(self, session: AsyncSession, number: int) -> DatasetRecord | None:
        """Return the dataset, locked; None if it is forgotten or another indexer took over."""
        record = await session.get(DatasetRecord, number, with_for_update=True)
        return record if record is not None and record.indexer == self._name else None


class IndexTerms:
    """The ids of a dataset's terms, and the number of samples that have each."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._ids: dict[str, int] = {}
        self._counts: Counter[str] = Counter()

    def add(self, texts: set[str]) -> list[int]:
        """Count the terms of a sample; return their ids."""
        self._counts.update(texts)
        first = self._number * TERM_SPAN
        return [self._ids.setdefault(text, first + len(self._ids)) for text in texts]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the table of terms."""
        for text, term in self._ids.items():
            yield {
                "id": term,
                "dataset": self._number,
                "text": text,
                "num_samples": self._counts[text],
            }


@dataclass(frozen=True)
class Indexed:
    """The index entry of one Parquet record."""

    image_id: str
    decision: str | None
    confidence: float | None
    packed: bytes
    terms: tuple[int, ...]

    @classmethod
    def of(cls, record: dict[str, Any], terms: IndexTerms) -> "Indexed":
        """Return the entry of a record; counts its terms."""
        document = document_of(record)
        term_ids = tuple(terms.add(terms_of(document)))
        decision, confidence = document["decision"], document["confidence"]
        return cls(document["image_id"], decision, confidence, pack(document), term_ids)


class IndexBatch:
    """Rows of the index for a batch of samples."""

    def __init__(self) -> None:
        self.samples: list[dict[str, Any]] = []
        self._documents: list[dict[str, Any]] = []
        self._terms: list[dict[str, Any]] = []

    def add(self, position: int, place: "RowPlace", indexed: Indexed) -> None:
        """Add a sample at its position."""
        file, row_group, row = place
        self.samples.append(
            {
                "position": position,
                "image_id": indexed.image_id,
                "decision": indexed.decision,
                "confidence": indexed.confidence,
                "file": file,
                "row_group": row_group,
                "row": row,
            }
        )
        self._documents.append({"position": position, "document": indexed.packed})
        self._terms += [{"term": term, "position": position} for term in indexed.terms]

    def rows(self, number: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the rows of samples, documents and terms of the dataset with this number."""
        for row in (*self.samples, *self._documents):
            row["dataset"] = number
        return self.samples, self._documents, self._terms


RowPlace = tuple[int, int, int]
Batches = Iterator[list[tuple[RowPlace, dict[str, Any]]]]


def read_batches(address: str, manifest: Manifest) -> Batches:
    """Yield batches of a dataset's records with their places (file, row group, row), without pixels."""
    store = open_store(address)
    for file, listed in enumerate(data_files(manifest)):
        with store.open_input(listed.path) as source:
            parquet = pq.ParquetFile(source)
            names = set(parquet.schema_arrow.names)
            columns = [path for path in _COLUMNS if path.split(".", 1)[0] in names]
            for group in range(parquet.num_row_groups):
                row = 0
                for batch in parquet.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns):
                    records = batch.to_pylist()
                    yield [((file, group, row + offset), record) for offset, record in enumerate(records)]
                    row += len(records)


def _prepare(batches: Batches, terms: IndexTerms, position: int) -> IndexBatch | None:
    records = next(batches, None)
    if records is None:
        return None
    batch = IndexBatch()
    for offset, (place, record) in enumerate(records):
        batch.add(position + offset, place, Indexed.of(record, terms))
    return batch
