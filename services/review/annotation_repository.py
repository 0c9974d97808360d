"""The SQL of annotations: what people submitted in Label Studio, in its latest state. Commits nothing."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from schemas.reviews import AnnotationState, AsideReason, ItemState
from services.database.review_tables import Review, ReviewedAnnotation, ReviewItem

_ASIDE = (AnnotationState.SET_ASIDE, AnnotationState.UNREADABLE)


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
        select(
            ReviewedAnnotation.ls_annotation_id,
            func.coalesce(ReviewedAnnotation.ls_task_id, ReviewItem.ls_task_id),
        )
        .join(ReviewItem, ReviewItem.id == ReviewedAnnotation.item_id)
        .where(
            ReviewedAnnotation.review_id == review_id,
            ReviewedAnnotation.ls_annotation_id.in_(list(ls_annotation_ids)),
        )
    )
    rows = (await session.execute(query)).all()
    return {annotation_id: ls_task_id for annotation_id, ls_task_id in rows if ls_task_id is not None}


async def count_by_task(session: AsyncSession, review_id: str) -> dict[int, int]:
    """Return the number of annotations that exist, by LsTask, of the items that are in Label Studio."""
    task = func.coalesce(ReviewedAnnotation.ls_task_id, ReviewItem.ls_task_id)
    query = (
        select(task, func.count())
        .join(ReviewItem, ReviewItem.id == ReviewedAnnotation.item_id)
        .where(
            ReviewedAnnotation.review_id == review_id,
            ReviewedAnnotation.state != AnnotationState.DELETED,
            ReviewItem.state == ItemState.SENT,
        )
        .group_by(task)
    )
    return dict((await session.execute(query)).all())


async def annotator_names(session: AsyncSession, label_studio_url: str) -> dict[int, str]:
    """Return the name that annotations of each user of a Label Studio were last stored with."""
    query = (
        select(ReviewedAnnotation.ls_user_id, ReviewedAnnotation.annotator)
        .join(Review, Review.id == ReviewedAnnotation.review_id)
        .where(Review.label_studio_url == label_studio_url, ReviewedAnnotation.ls_user_id.is_not(None))
        .group_by(ReviewedAnnotation.ls_user_id, ReviewedAnnotation.annotator)
        .order_by(func.max(ReviewedAnnotation.id))
    )
    rows = (await session.execute(query)).all()
    return {user_id: name for user_id, name in rows if user_id is not None}


async def any_annotation(session: AsyncSession, review_id: str) -> bool:
    """Return whether a review has any annotation."""
    query = select(ReviewedAnnotation.id).where(ReviewedAnnotation.review_id == review_id).limit(1)
    return (await session.scalar(query)) is not None


async def count_annotations(session: AsyncSession, review_id: str) -> dict[str, int]:
    """Return the number of annotations by state."""
    query = select(ReviewedAnnotation.state, func.count()).where(ReviewedAnnotation.review_id == review_id)
    return dict((await session.execute(query.group_by(ReviewedAnnotation.state))).all())


async def annotations_set_aside(
    session: AsyncSession,
    review_id: str,
    ls_annotation_ids: Sequence[int] | None,
    reason: AsideReason | None,
    limit: int,
) -> Sequence[ReviewedAnnotation]:
    """Return annotations set aside, unreadable ones included, oldest first, locked against other writers."""
    query = select(ReviewedAnnotation).where(
        ReviewedAnnotation.review_id == review_id, ReviewedAnnotation.state.in_(_ASIDE)
    )
    if ls_annotation_ids is not None:
        query = query.where(ReviewedAnnotation.ls_annotation_id.in_(list(ls_annotation_ids)))
    if reason is not None:
        query = query.where(ReviewedAnnotation.reason == reason)
    return (await session.scalars(query.order_by(ReviewedAnnotation.id).limit(limit).with_for_update())).all()


async def list_set_aside(
    session: AsyncSession, review_id: str, reason: AsideReason | None, before: int | None, limit: int
) -> Sequence[tuple[ReviewedAnnotation, ReviewItem]]:
    """Return annotations set aside with their items, newest first. `before`: of a lower id than this."""
    query = (
        select(ReviewedAnnotation, ReviewItem)
        .join(ReviewItem, ReviewItem.id == ReviewedAnnotation.item_id)
        .where(ReviewedAnnotation.review_id == review_id, ReviewedAnnotation.state.in_(_ASIDE))
        .options(defer(ReviewedAnnotation.result), defer(ReviewItem.shown))
        .order_by(ReviewedAnnotation.id.desc())
        .limit(limit)
    )
    if reason is not None:
        query = query.where(ReviewedAnnotation.reason == reason)
    if before is not None:
        query = query.where(ReviewedAnnotation.id < before)
    return [(row, item) for row, item in (await session.execute(query)).all()]


async def count_ignored(session: AsyncSession, review_id: str) -> dict[str, int]:
    """Return the number of annotations with results of added controls that have no form here, by control."""
    query = select(ReviewedAnnotation.ignored).where(
        ReviewedAnnotation.review_id == review_id,
        ReviewedAnnotation.ignored.is_not(None),
        ReviewedAnnotation.state != AnnotationState.DELETED,
    )
    counts = Counter(name for names in (await session.scalars(query)).all() for name in set(names or ()))
    return dict(sorted(counts.items()))


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
