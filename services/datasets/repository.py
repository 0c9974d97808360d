"""The SQL of datasets and of the index of their samples."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    and_,
    collate,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from services.database.models import (
    TERM_SPAN,
    DatasetRecord,
    DatasetState,
    ImageGrant,
    Sample,
    SampleDocument,
    SampleTerm,
    Term,
    utc_now,
)


async def find_by_address(
    session: AsyncSession, project_id: str, address: str, manifest_sha256: str
) -> DatasetRecord | None:
    """Return a project's record of a version in a folder, or None."""
    query = select(DatasetRecord).where(
        DatasetRecord.project_id == project_id,
        DatasetRecord.address == address,
        DatasetRecord.manifest_sha256 == manifest_sha256,
    )
    return (await session.scalars(query)).first()


async def get_dataset(session: AsyncSession, dataset_id: str) -> DatasetRecord | None:
    """Return the dataset with this id, of any project, or None. For signed URLs."""
    return (await session.scalars(select(DatasetRecord).where(DatasetRecord.id == dataset_id))).first()


async def dataset_of_project(session: AsyncSession, project_id: str, dataset_id: str) -> DatasetRecord | None:
    """Return a project's dataset with this id, or None."""
    query = select(DatasetRecord).where(
        DatasetRecord.id == dataset_id, DatasetRecord.project_id == project_id
    )
    return (await session.scalars(query)).first()


async def list_datasets(
    session: AsyncSession, project_id: str, limit: int, before: int | None, name: str | None = None
) -> Sequence[DatasetRecord]:
    """Return a project's datasets with numbers below `before`, newest first."""
    query = select(DatasetRecord).where(DatasetRecord.project_id == project_id)
    query = query.order_by(DatasetRecord.number.desc()).limit(limit)
    if before is not None:
        query = query.where(DatasetRecord.number < before)
    if name is not None:
        query = query.where(DatasetRecord.name == name)
    return (await session.scalars(query)).all()


async def count_datasets(session: AsyncSession) -> int:
    """Return the number of registered datasets."""
    return int(await session.scalar(select(func.count()).select_from(DatasetRecord)) or 0)


async def claim_unindexed(
    session: AsyncSession, indexer: str, stale: datetime, retry_at: datetime
) -> DatasetRecord | None:
    """Assign the next unindexed dataset to `indexer` and return it, or None.

    A dataset whose indexer gave no sign of life since `stale` is taken over. After those come datasets that
    are due to be tried again; they are due the next time at `retry_at`.
    """
    waiting = and_(
        DatasetRecord.state == DatasetState.INDEXING,
        or_(DatasetRecord.indexer_seen_at.is_(None), DatasetRecord.indexer_seen_at < stale),
    )
    due = and_(DatasetRecord.state != DatasetState.INDEXING, DatasetRecord.retry_at <= utc_now())
    return await _claim_first(session, waiting, indexer, None) or await _claim_first(
        session, due, indexer, retry_at
    )


async def _claim_first(
    session: AsyncSession, waiting: ColumnElement[bool], indexer: str, retry_at: datetime | None
) -> DatasetRecord | None:
    first = select(func.min(DatasetRecord.number)).where(waiting).scalar_subquery()
    claimed = await session.scalars(
        update(DatasetRecord)
        .where(DatasetRecord.number == first, waiting)
        .values(indexer=indexer, indexer_seen_at=utc_now(), retry_at=retry_at)
        .returning(DatasetRecord.number)
        .execution_options(synchronize_session=False)
    )
    number = claimed.first()
    return None if number is None else await session.get(DatasetRecord, number)


async def delete_index(session: AsyncSession, number: int) -> None:
    """Delete the rows that an indexer has made; the terms of an unfinished one have no row of their own."""
    first = number * TERM_SPAN
    of_dataset = (SampleTerm.term >= first, SampleTerm.term < first + TERM_SPAN)
    await session.execute(delete(SampleTerm).where(*of_dataset))
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


async def find_sample(session: AsyncSession, number: int, image_id: str) -> Sample | None:
    """The sample of an image in a dataset."""
    query = select(Sample).where(Sample.image_id == image_id, Sample.dataset == number)
    return (await session.scalars(query)).first()


async def dataset_with_image(session: AsyncSession, project_id: str, image_id: str) -> DatasetRecord | None:
    """The newest dataset of a project that holds an image."""
    query = (
        select(DatasetRecord)
        .join(Sample, Sample.dataset == DatasetRecord.number)
        .where(Sample.image_id == image_id, DatasetRecord.project_id == project_id)
        .order_by(DatasetRecord.number.desc())
        .limit(1)
    )
    return (await session.scalars(query)).first()


def term_begins_with(session: AsyncSession, prefix: str) -> ColumnElement[bool]:
    """Whether a term begins so, compared by code points: no text is the last one in a language's order."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"  # it compares so by itself
    text: Any = Term.text if is_sqlite else collate(Term.text, "C")
    return and_(text >= prefix, text < prefix + "\U0010ffff")


async def most_frequent_terms(
    session: AsyncSession, number: int, kind: str, limit: int
) -> list[tuple[str, int]]:
    """Return the most frequent terms of a kind (`l:`, `k:`, `w:`), without that prefix, and their counts."""
    query = (
        select(Term.text, Term.num_samples)
        .where(Term.dataset == number, term_begins_with(session, kind))
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
    await session.execute(query.values(revoked_at=utc_now()).execution_options(synchronize_session=False))
