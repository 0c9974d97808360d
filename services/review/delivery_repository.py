"""The SQL of webhook deliveries that wait to be processed. Commits nothing."""

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.database.review_tables import ReviewDelivery


async def add_deliveries(session: AsyncSession, deliveries: Sequence[ReviewDelivery]) -> None:
    """Insert deliveries."""
    session.add_all(deliveries)
    await session.flush()


async def list_deliveries(session: AsyncSession, review_id: str, limit: int) -> Sequence[ReviewDelivery]:
    """Return the deliveries of a review, oldest first."""
    query = select(ReviewDelivery).where(ReviewDelivery.review_id == review_id).order_by(ReviewDelivery.id)
    return (await session.scalars(query.limit(limit))).all()


async def delete_deliveries(session: AsyncSession, ids: Sequence[int]) -> None:
    """Delete deliveries that are done."""
    await session.execute(delete(ReviewDelivery).where(ReviewDelivery.id.in_(list(ids))))


async def count_try(session: AsyncSession, ids: Sequence[int]) -> None:
    """Add one to the number of tries of deliveries."""
    await session.execute(
        update(ReviewDelivery).where(ReviewDelivery.id.in_(list(ids))).values(tries=ReviewDelivery.tries + 1)
    )
