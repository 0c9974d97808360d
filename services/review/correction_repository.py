"""The SQL of corrections. Commits nothing."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.reviews import AnnotationState
from services.database.review_tables import ReviewCorrection, ReviewedAnnotation


async def replace_corrections(
    session: AsyncSession, review_id: str, annotation_id: int, documents: Sequence[tuple[str, str]]
) -> None:
    """Replace all corrections of an annotation by `documents`: pairs of action and JSON."""
    await session.execute(delete(ReviewCorrection).where(ReviewCorrection.annotation_id == annotation_id))
    rows = [
        {"review_id": review_id, "annotation_id": annotation_id, "action": action, "document": document}
        for action, document in documents
    ]
    if rows:
        await session.execute(ReviewCorrection.__table__.insert(), rows)  # type: ignore[attr-defined]


async def list_corrections(
    session: AsyncSession, review_id: str, everyone: bool, after: int | None, limit: int
) -> Sequence[tuple[int, str]]:
    """Return (id, JSON) of corrections by rising id: of the chosen annotations only, or of everyone's."""
    query: Any = select(ReviewCorrection.id, ReviewCorrection.document).where(
        ReviewCorrection.review_id == review_id
    )
    if not everyone:
        query = _chosen_only(query)
    if after is not None:
        query = query.where(ReviewCorrection.id > after)
    rows = await session.execute(query.order_by(ReviewCorrection.id).limit(limit))
    return [(correction_id, document) for correction_id, document in rows.all()]


async def count_corrections(session: AsyncSession, review_id: str) -> dict[str, int]:
    """Return the number of corrections of the chosen annotations, by action."""
    query: Any = select(ReviewCorrection.action, func.count()).where(ReviewCorrection.review_id == review_id)
    rows = await session.execute(_chosen_only(query).group_by(ReviewCorrection.action))
    return dict(rows.all())


def _chosen_only(query: Any) -> Any:
    return query.join(ReviewedAnnotation, ReviewedAnnotation.id == ReviewCorrection.annotation_id).where(
        ReviewedAnnotation.chosen, ReviewedAnnotation.state == AnnotationState.SUBMITTED
    )
