"""The SQL of reviews. Commits nothing."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.reviews import ReviewState
from services.database.models import utc_now
from services.database.review_tables import Review


async def find_review(session: AsyncSession, review_id: str) -> Review | None:
    """Return the review with this id, or None."""
    return await session.get(Review, review_id)


async def review_by_key(session: AsyncSession, key: str, label_studio_url: str) -> Review | None:
    """Return the review of a dataset's content in one Label Studio, or None."""
    query = select(Review).where(Review.key == key, Review.label_studio_url == label_studio_url)
    return (await session.scalars(query)).one_or_none()


async def review_of_ls_project(session: AsyncSession, project_id: str, ls_project_id: int) -> Review | None:
    """Return a project's newest review in a project of Label Studio, or None."""
    query = select(Review).where(Review.owner_project_id == project_id, Review.project_id == ls_project_id)
    return (await session.scalars(query.order_by(Review.id.desc()).limit(1))).one_or_none()


async def list_reviews(
    session: AsyncSession,
    project_id: str,
    dataset: str | None,
    before: str | None,
    limit: int,
    key: str | None = None,
) -> Sequence[Review]:
    """Return a project's reviews, newest first.

    `dataset`: of this address or id only. `before`: older than this id. `key`: with this key only.
    """
    query = select(Review).where(Review.owner_project_id == project_id)
    query = query.order_by(Review.id.desc()).limit(limit)
    if dataset is not None:
        query = query.where(or_(Review.dataset == dataset, Review.dataset_id == dataset))
    if key is not None:
        query = query.where(Review.key == key)
    if before is not None:
        query = query.where(Review.id < before)
    return (await session.scalars(query)).all()


async def active_reviews(session: AsyncSession) -> Sequence[Review]:
    """Return the reviews that have not failed, oldest first."""
    query = select(Review).where(Review.state != ReviewState.FAILED).order_by(Review.id)
    return (await session.scalars(query)).all()


async def take_lease(
    session: AsyncSession, review_id: str, pusher: str, dead_pushers: Iterable[str], lease_s: float
) -> bool:
    """Make `pusher` the only process that works on a review; False if another process holds the lease."""
    available = or_(
        Review.pusher.is_(None),
        Review.pusher == pusher,
        Review.pusher.in_(list(dead_pushers)),
        Review.pusher_seen_at < utc_now() - timedelta(seconds=lease_s),
    )
    result = await session.execute(
        update(Review)
        .where(Review.id == review_id, available)
        .values(pusher=pusher, pusher_seen_at=utc_now())
    )
    return bool(result.rowcount)  # type: ignore[attr-defined]


async def lock_review(session: AsyncSession, review_id: str) -> Review | None:
    """Read a review again and lock its row against changes of its state until the transaction ends."""
    query = select(Review).where(Review.id == review_id).with_for_update(key_share=True)
    return (await session.scalars(query.execution_options(populate_existing=True))).one_or_none()


async def clear_error(session: AsyncSession, review_id: str, error: str) -> None:
    """Remove the error of a review if it is still `error`."""
    same_error = (Review.id == review_id, Review.error == error)
    await session.execute(update(Review).where(*same_error).values(error=None))


async def set_review(session: AsyncSession, review_id: str, **values: Any) -> None:
    """Change columns of a review."""
    await session.execute(update(Review).where(Review.id == review_id).values(**values))
