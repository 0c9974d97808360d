"""The SQL of datasets and of the index of their samples."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from services.database.models import (
    DatasetRecord,
    DatasetState,
    ImageGrant,
    Sample,
    SampleDocument,
    SampleTerm,
    Term,
    now,
)


@dataclass(frozen=True)
class SampleFilter:
    """Which samples to list. `terms`: each must occur; a term is `w:word`, `l:label` or `k:kind`.

    `min_confidence`, `max_confidence`: bounds of the sample's lowest confidence, both included.
    """

    terms: tuple[str, ...] = ()
    decision: str | None = None
    min_confidence: float | None = None
    max_confidence: float | None = None


async def find_by_address(session: AsyncSession, address: str, manifest_sha256: str) -> DatasetRecord | None:
    """Return the record of a version in a folder, or None."""
    query = select(DatasetRecord).where(
        DatasetRecord.address == address, DatasetRecord.manifest_sha256 == manifest_sha256
    )
    return (await session.scalars(query)).first()


async def get_dataset(session: AsyncSession, dataset_id: str) -> DatasetRecord | None:
    """Return the dataset with this id, or None."""
    return (await session.scalars(select(DatasetRecord).where(DatasetRecord.id == dataset_id))).first()


async def list_datasets(
    session: AsyncSession, limit: int, before: int | None, name: str | None = None
) -> Sequence[DatasetRecord]:
    """Return datasets with numbers below `before`, newest first."""
    query = select(DatasetRecord).order_by(DatasetRecord.number.desc()).limit(limit)
    if before is not None:
        query = query.where(DatasetRecord.number < before)
    if name is not None:
        query = query.where(DatasetRecord.name == name)
    return (await session.scalars(query)).all()


async def count_datasets(session: AsyncSession) -> int:
    """Return the number of registered datasets."""
    return int(await session.scalar(select(func.count()).select_from(DatasetRecord)) or 0)


async def claim_unindexed(session: AsyncSession, indexer: str, stale: datetime) -> DatasetRecord | None:
    """Assign the next unindexed dataset to `indexer` and return it, or None.

    A dataset whose indexer gave no sign of life since `stale` is taken over.
    """
    waiting = and_(
        DatasetRecord.state == DatasetState.INDEXING,
        or_(DatasetRecord.indexer_seen_at.is_(None), DatasetRecord.indexer_seen_at < stale),
    )
    first = select(func.min(DatasetRecord.number)).where(waiting).scalar_subquery()
    claimed = await session.scalars(
        update(DatasetRecord)
        .where(DatasetRecord.number == first, waiting)
        .values(indexer=indexer, indexer_seen_at=now())
        .returning(DatasetRecord.number)
        .execution_options(synchronize_session=False)
    )
    number = claimed.first()
    return None if number is None else await session.get(DatasetRecord, number)


async def delete_index(session: AsyncSession, number: int) -> None:
    """Delete the rows that an unfinished indexer has left."""
    terms = select(Term.id).where(Term.dataset == number)
    await session.execute(delete(SampleTerm).where(SampleTerm.term.in_(terms)))
    for table in (Term, SampleDocument, Sample):
        await session.execute(delete(table).where(table.dataset == number))


async def add_samples(
    session: AsyncSession,
    samples: list[dict[str, Any]],
    documents: list[dict[str, Any]],
    terms: list[dict[str, Any]],
) -> None:
    """Insert rows of `samples`, `sample_documents` and `sample_terms`, as dictionaries of their columns."""
    for table, rows in ((Sample, samples), (SampleDocument, documents), (SampleTerm, terms)):
        if rows:
            await session.execute(insert(table), rows)


async def add_terms(session: AsyncSession, terms: Iterable[dict[str, Any]]) -> None:
    """Insert rows of `terms`."""
    rows = list(terms)
    if rows:
        await session.execute(insert(Term), rows)


async def find_terms(session: AsyncSession, number: int, texts: Sequence[str]) -> list[Term]:
    """Return the terms of a dataset with one of `texts`, the rarest first."""
    query = select(Term).where(Term.dataset == number, Term.text.in_(texts)).order_by(Term.num_samples)
    return list((await session.scalars(query)).all())


async def find_positions(
    session: AsyncSession, number: int, sample_filter: SampleFilter, after: int, limit: int
) -> list[int]:
    """Return the first `limit` positions after `after` of matching samples, in the dataset's order."""
    terms = await find_terms(session, number, sample_filter.terms) if sample_filter.terms else []
    if len(terms) < len(set(sample_filter.terms)):
        return []
    conditions = _conditions(sample_filter)
    query: Select[int]
    if not terms:
        query = select(Sample.position).where(Sample.dataset == number, Sample.position > after, *conditions)
        return list((await session.scalars(query.order_by(Sample.position).limit(limit))).all())
    # Start from the rarest term; each further term is a look-up by key.
    first = aliased(SampleTerm)
    query = select(first.position).where(first.term == terms[0].id, first.position > after)
    if conditions:
        query = query.join(Sample, and_(Sample.dataset == number, Sample.position == first.position)).where(
            *conditions
        )
    for term in terms[1:]:
        other = aliased(SampleTerm)
        query = query.where(
            select(other.term).where(other.term == term.id, other.position == first.position).exists()
        )
    return list((await session.scalars(query.order_by(first.position).limit(limit))).all())


async def find_least_sure(
    session: AsyncSession,
    number: int,
    sample_filter: SampleFilter,
    after: tuple[float, int] | None,
    limit: int,
) -> list[tuple[float, int]]:
    """Return (confidence, position) of matching samples, lowest confidence first; without one: left out."""
    terms = await find_terms(session, number, sample_filter.terms) if sample_filter.terms else []
    if len(terms) < len(set(sample_filter.terms)):
        return []
    query = select(Sample.confidence, Sample.position).where(
        Sample.dataset == number, Sample.confidence.is_not(None), *_conditions(sample_filter)
    )
    if after is not None:
        query = query.where(
            or_(
                Sample.confidence > after[0],
                and_(Sample.confidence == after[0], Sample.position > after[1]),
            ),
            Sample.confidence >= after[0],
        )
    for term in terms:
        other = aliased(SampleTerm)
        query = query.where(
            select(other.term).where(other.term == term.id, other.position == Sample.position).exists()
        )
    rows = await session.execute(query.order_by(Sample.confidence, Sample.position).limit(limit))
    return [(float(confidence or 0.0), position) for confidence, position in rows]


async def documents_at(session: AsyncSession, number: int, positions: Sequence[int]) -> dict[int, bytes]:
    """Return the compressed documents at `positions`, by position."""
    rows = await session.execute(
        select(SampleDocument.position, SampleDocument.document).where(
            SampleDocument.dataset == number, SampleDocument.position.in_(positions)
        )
    )
    return {row[0]: row[1] for row in rows}


async def find_sample(session: AsyncSession, number: int, image_id: str) -> Sample | None:
    """The sample of an image in a dataset."""
    query = select(Sample).where(Sample.image_id == image_id, Sample.dataset == number)
    return (await session.scalars(query)).first()


async def dataset_with_image(session: AsyncSession, image_id: str) -> DatasetRecord | None:
    """The newest dataset that holds an image."""
    number = await session.scalar(select(func.max(Sample.dataset)).where(Sample.image_id == image_id))
    return None if number is None else await session.get(DatasetRecord, number)


async def most_frequent_terms(
    session: AsyncSession, number: int, kind: str, limit: int
) -> list[tuple[str, int]]:
    """Return the most frequent terms of a kind (`l:`, `k:`, `w:`), without that prefix, and their counts."""
    query = (
        select(Term.text, Term.num_samples)
        .where(Term.dataset == number, Term.text >= kind, Term.text < kind + "\U0010ffff")
        .order_by(Term.num_samples.desc(), Term.text)
        .limit(limit)
    )
    return [(text[len(kind) :], count) for text, count in await session.execute(query)]


async def count_by_decision(session: AsyncSession, number: int) -> dict[str | None, int]:
    """Return the number of samples by decision."""
    query = select(Sample.decision, func.count()).where(Sample.dataset == number)
    rows = await session.execute(query.group_by(Sample.decision))
    return {row[0]: int(row[1]) for row in rows}


async def valid_grant(session: AsyncSession, dataset_id: str, purpose: str) -> ImageGrant | None:
    """Return the newest grant of a dataset for a purpose that is not revoked, or None."""
    query = select(ImageGrant).where(
        ImageGrant.dataset_id == dataset_id,
        ImageGrant.purpose == purpose,
        ImageGrant.revoked_at.is_(None),
    )
    return (await session.scalars(query.order_by(ImageGrant.id.desc()).limit(1))).first()


async def revoke_grants(session: AsyncSession, dataset_id: str, purpose: str | None = None) -> None:
    """Revoke the grants of a dataset, for all purposes or for one."""
    query = update(ImageGrant).where(ImageGrant.dataset_id == dataset_id, ImageGrant.revoked_at.is_(None))
    if purpose is not None:
        query = query.where(ImageGrant.purpose == purpose)
    await session.execute(query.values(revoked_at=now()).execution_options(synchronize_session=False))


def _conditions(sample_filter: SampleFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if sample_filter.decision is not None:
        conditions.append(Sample.decision == sample_filter.decision)
    if sample_filter.min_confidence is not None:
        conditions.append(Sample.confidence >= sample_filter.min_confidence)
    if sample_filter.max_confidence is not None:
        conditions.append(Sample.confidence <= sample_filter.max_confidence)
    return conditions
