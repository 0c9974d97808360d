"""The SQL of annotations: what people submitted in Label Studio, in its latest state. Commits nothing."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.reviews import AnnotationState
from services.database.review_tables import ReviewedAnnotation, ReviewItem


async def annotations_of_items(
    session: AsyncSession, item_ids: Sequence[int]
) -> Sequence[ReviewedAnnotation]:
    """Return all annotations of items."""
    query = select(ReviewedAnnotation).where(ReviewedAnnotation.item_id.in_(list(item_ids)))
    return (await session.scalars(query.order_by(ReviewedAnnotation.id))).all()


async def tasks_of_annotations(
    session: AsyncSession, review_id: str, ls_annotation_ids: Sequence[int]
) -> dict[int, int]:
    """Return LsTask ids by the id of an annotation in Label Studio, for the annotations stored here."""
    query = (
        select(ReviewedAnnotation.ls_annotation_id, ReviewItem.ls_task_id)
        .join(ReviewItem, ReviewItem.id == ReviewedAnnotation.item_id)
        .where(
            ReviewedAnnotation.review_id == review_id,
            ReviewedAnnotation.ls_annotation_id.in_(list(ls_annotation_ids)),
        )
    )
    rows = (await session.execute(query)).all()
    return {annotation_id: ls_task_id for annotation_id, ls_task_id in rows if ls_task_id is not None}


async def any_annotation(session: AsyncSession, review_id: str) -> bool:
    """Return whether a review has any annotation."""
    query = select(ReviewedAnnotation.id).where(ReviewedAnnotation.review_id == review_id).limit(1)
    return (await session.scalar(query)) is not None


async def count_annotations(session: AsyncSession, review_id: str) -> dict[str, int]:
    """Return the number of annotations by state."""
    query = select(ReviewedAnnotation.state, func.count()).where(ReviewedAnnotation.review_id == review_id)
    return dict((await session.execute(query.group_by(ReviewedAnnotation.state))).all())


async def unreadable_annotations(
    session: AsyncSession, review_id: str, limit: int
) -> Sequence[tuple[int, int | None, str | None, str]]:
    """Return (annotation id, LsTask id, reason, annotator) of annotations set aside, newest first."""
    query = (
        select(
            ReviewedAnnotation.ls_annotation_id,
            ReviewItem.ls_task_id,
            ReviewedAnnotation.error,
            ReviewedAnnotation.annotator,
        )
        .join(ReviewItem, ReviewItem.id == ReviewedAnnotation.item_id)
        .where(
            ReviewedAnnotation.review_id == review_id, ReviewedAnnotation.state == AnnotationState.UNREADABLE
        )
        .order_by(ReviewedAnnotation.id.desc())
        .limit(limit)
    )
    return (await session.execute(query)).all()


async def review_figures(session: AsyncSession, review_id: str) -> tuple[int, float | None, float | None]:
    """Return the number of reviewed items, their mean agreement, and the mean seconds per annotation."""
    items = select(func.count(), func.avg(ReviewItem.agreement)).where(
        ReviewItem.review_id == review_id, ReviewItem.rule.is_not(None)
    )
    num_reviewed, agreement = (await session.execute(items)).one()
    seconds = await session.scalar(
        select(func.avg(ReviewedAnnotation.seconds)).where(
            ReviewedAnnotation.review_id == review_id, ReviewedAnnotation.state == AnnotationState.SUBMITTED
        )
    )
    return int(num_reviewed), agreement, seconds
