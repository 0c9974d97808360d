"""Copies the rows of registered datasets into the database's index, in the background.

Parquet is read in a thread, one batch at a time, without pixels and signals. Each batch is one short
transaction, so that others can write in between. If an indexer ends half way (its process was killed),
another one starts over.
"""

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy.exc import DataError

from fo1_data.dataset.parquet_files import leaf_columns
from fo1_data.dataset.reader import data_files
from fo1_data.errors import Fo1Error
from fo1_data.storage.store import open_store
from schemas.dataset import Manifest
from schemas.parquet import IMAGE_SCHEMA
from services.background import Loop
from services.database.engine import Database
from services.database.models import DatasetRecord, DatasetState, now
from services.datasets import repository
from services.datasets.documents import document_of, pack, terms_of
from services.metrics import Metrics

BATCH_ROWS = 500
_STALE = timedelta(seconds=60)
_POLL_S = 2.0
_COLUMNS = [path for path in leaf_columns(IMAGE_SCHEMA) if ".signals." not in path and path != "image.bytes"]
_TERM_SPAN = 2**32
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
            record = await repository.claim_unindexed(session, self._name, now() - _STALE)
            self._metrics.datasets.set(await repository.count_datasets(session))
        if record is None:
            return False
        try:
            await self._index(record)
        except (Fo1Error, OSError, pa.ArrowException, DataError) as error:
            await self._end(record.number, DatasetState.FAILED, 0, " ".join(str(error).split())[:500])
        return True

    async def _index(self, record: DatasetRecord) -> None:
        async with self._database.writing() as session:
            await repository.delete_index(session, record.number)
        batches = read_batches(record.address, Manifest.model_validate(record.manifest))
        terms = IndexTerms(record.number)
        position = 0
        while (batch := await asyncio.to_thread(_prepare, batches, terms, position)) is not None:
            async with self._database.writing() as session:
                await repository.add_samples(session, *batch.rows(record.number))
                current = await session.get(DatasetRecord, record.number)
                if current is None or current.indexer != self._name:
                    return  # another indexer took over
                current.indexer_seen_at = now()
                current.num_samples = position = position + len(batch.samples)
        async with self._database.writing() as session:
            await repository.add_terms(session, terms.rows())
        await self._end(record.number, DatasetState.READY, position, None)

    async def _end(self, number: int, state: DatasetState, num_samples: int, error: str | None) -> None:
        async with self._database.writing() as session:
            record = await session.get(DatasetRecord, number)
            if record is not None and record.indexer == self._name:
                record.state, record.error, record.num_samples = state, error, num_samples


class IndexTerms:
    """The ids of a dataset's terms, and the number of samples that have each."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._ids: dict[str, int] = {}
        self._counts: Counter[str] = Counter()

    def add(self, texts: set[str]) -> list[int]:
        """Count the terms of a sample; return their ids."""
        self._counts.update(texts)
        first = self._number * _TERM_SPAN
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
