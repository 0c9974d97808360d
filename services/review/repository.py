"""The SQL of reviews, their items, annotations, corrections and deliveries. Commits nothing."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.database.models import now
from services.database.review_states import AnnotationState, ItemState, ReviewState
from services.database.review_tables import (
    Review,
    ReviewCorrection,
    ReviewDelivery,
    ReviewedAnnotation,
    ReviewItem,
)

_IN_ONE_STATEMENT = 500


async def find_review(session: AsyncSession, review_id: str) -> Review | None:
    """The review of an id."""
    return await session.get(Review, review_id)


async def review_by_key(session: AsyncSession, key: str, label_studio_url: str) -> Review | None:
    """The review of a dataset's content in one Label Studio."""
    wanted = select(Review).where(Review.key == key, Review.label_studio_url == label_studio_url)
    return (await session.scalars(wanted)).one_or_none()


async def review_of_project(session: AsyncSession, project_id: int) -> Review | None:
    """The newest review in a project of Label Studio."""
    wanted = select(Review).where(Review.project_id == project_id).order_by(Review.id.desc()).limit(1)
    return (await session.scalars(wanted)).one_or_none()


async def send_again(session: AsyncSession, review_id: str) -> None:
    """Queue what nobody annotated again, where the project is gone."""
    annotated = select(ReviewedAnnotation.item_id).where(ReviewedAnnotation.review_id == review_id)
    lost = (
        ReviewItem.review_id == review_id,
        ReviewItem.state.in_((ItemState.SENDING, ItemState.SENT, ItemState.GONE)),
        ReviewItem.id.not_in(annotated),
    )
    await session.execute(
        update(ReviewItem).where(*lost).values(state=ItemState.WAITING, ls_task_id=None, ls_updated_at=None)
    )
    kept = (ReviewItem.review_id == review_id, ReviewItem.state == ItemState.SENT)
    await session.execute(update(ReviewItem).where(*kept).values(state=ItemState.GONE))


async def list_reviews(
    session: AsyncSession, dataset: str | None, before: str | None, limit: int
) -> Sequence[Review]:
    """Reviews, newest first; `dataset`: of that address or id only; `before`: older than that id."""
    wanted = select(Review).order_by(Review.id.desc()).limit(limit)
    if dataset is not None:
        wanted = wanted.where(or_(Review.dataset == dataset, Review.dataset_id == dataset))
    if before is not None:
        wanted = wanted.where(Review.id < before)
    return (await session.scalars(wanted)).all()


async def reviews_in_work(session: AsyncSession) -> Sequence[Review]:
    """Reviews that have not failed, oldest first."""
    return (
        await session.scalars(select(Review).where(Review.state != ReviewState.FAILED).order_by(Review.id))
    ).all()


async def take_lease(
    session: AsyncSession, review_id: str, pusher: str, free: Iterable[str], lease_s: float
) -> bool:
    """Make `pusher` the one process that works on a review. `free`: holders known to be dead."""
    stale = or_(
        Review.pusher.is_(None),
        Review.pusher == pusher,
        Review.pusher.in_(list(free)),
        Review.pusher_seen_at < now() - timedelta(seconds=lease_s),
    )
    done = await session.execute(
        update(Review).where(Review.id == review_id, stale).values(pusher=pusher, pusher_seen_at=now())
    )
    return bool(done.rowcount)  # type: ignore[attr-defined]


async def lock_review(session: AsyncSession, review_id: str) -> Review | None:
    """A review as it is now, held against others that change its state until the transaction ends."""
    wanted = select(Review).where(Review.id == review_id).with_for_update(key_share=True)
    return (await session.scalars(wanted.execution_options(populate_existing=True))).one_or_none()


async def clear_error(session: AsyncSession, review_id: str, told: str) -> None:
    """Take back what was told of a review, if it is that what is told."""
    mine = (Review.id == review_id, Review.error == told)
    await session.execute(update(Review).where(*mine).values(error=None))


async def set_review(session: AsyncSession, review_id: str, **values: Any) -> None:
    """Change columns of a review."""
    await session.execute(update(Review).where(Review.id == review_id).values(**values))


async def annotations_of_items(
    session: AsyncSession, item_ids: Sequence[int]
) -> Sequence[ReviewedAnnotation]:
    """What was said of items."""
    wanted = select(ReviewedAnnotation).where(ReviewedAnnotation.item_id.in_(list(item_ids)))
    return (await session.scalars(wanted.order_by(ReviewedAnnotation.id))).all()


async def tasks_of_annotations(session: AsyncSession, review_id: str, ids: Sequence[int]) -> dict[int, int]:
    """Which LsTasks Label Studio's annotations belong to, as far as they were seen."""
    wanted = (
        select(ReviewedAnnotation.ls_annotation_id, ReviewItem.ls_task_id)
        .join(ReviewItem, ReviewItem.id == ReviewedAnnotation.item_id)
        .where(ReviewedAnnotation.review_id == review_id, ReviewedAnnotation.ls_annotation_id.in_(list(ids)))
    )
    return {found: task for found, task in (await session.execute(wanted)).all() if task is not None}


async def any_annotation(session: AsyncSession, review_id: str) -> bool:
    """Whether anything that a person said is known."""
    wanted = select(ReviewedAnnotation.id).where(ReviewedAnnotation.review_id == review_id).limit(1)
    return (await session.scalar(wanted)) is not None


async def replace_corrections(
    session: AsyncSession, review_id: str, annotation_id: int, documents: Sequence[tuple[str, str]]
) -> None:
    """Make (action, JSON) pairs all the corrections of an annotation."""
    await session.execute(delete(ReviewCorrection).where(ReviewCorrection.annotation_id == annotation_id))
    rows = [
        {"review_id": review_id, "annotation_id": annotation_id, "action": action, "document": document}
        for action, document in documents
    ]
    if rows:
        await session.execute(ReviewCorrection.__table__.insert(), rows)  # type: ignore[attr-defined]


async def page_corrections(
    session: AsyncSession, review_id: str, everyone: bool, after: int | None, limit: int
) -> Sequence[tuple[int, str]]:
    """(id, JSON) of corrections by rising id: of the annotations that hold, or of everyone's."""
    wanted = select(ReviewCorrection.id, ReviewCorrection.document).where(
        ReviewCorrection.review_id == review_id
    )
    if not everyone:
        wanted = _of_chosen(wanted)
    if after is not None:
        wanted = wanted.where(ReviewCorrection.id > after)
    return [
        (number, text)
        for number, text in await _all(session, wanted.order_by(ReviewCorrection.id).limit(limit))
    ]


async def count_corrections(session: AsyncSession, review_id: str) -> dict[str, int]:
    """The corrections that hold, by action."""
    wanted = select(ReviewCorrection.action, func.count()).where(ReviewCorrection.review_id == review_id)
    return dict(await _all(session, _of_chosen(wanted).group_by(ReviewCorrection.action)))


async def count_annotations(session: AsyncSession, review_id: str) -> dict[str, int]:
    """Annotations by state."""
    wanted = select(ReviewedAnnotation.state, func.count()).where(ReviewedAnnotation.review_id == review_id)
    return dict(await _all(session, wanted.group_by(ReviewedAnnotation.state)))


async def set_aside(
    session: AsyncSession, review_id: str, most: int
) -> Sequence[tuple[int, int, str | None, str]]:
    """(annotation, LsTask, why, annotator) of annotations that cannot be understood, newest first."""
    wanted = (
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
        .limit(most)
    )
    return [tuple(row) for row in await _all(session, wanted)]


async def review_figures(session: AsyncSession, review_id: str) -> tuple[int, float | None, float | None]:
    """Items with an annotation that holds; their mean agreement; mean seconds an annotation."""
    items = select(func.count(), func.avg(ReviewItem.agreement)).where(
        ReviewItem.review_id == review_id, ReviewItem.rule.is_not(None)
    )
    reviewed, agreement = (await session.execute(items)).one()
    seconds = await session.scalar(
        select(func.avg(ReviewedAnnotation.seconds)).where(
            ReviewedAnnotation.review_id == review_id, ReviewedAnnotation.state == AnnotationState.SUBMITTED
        )
    )
    return int(reviewed), agreement, seconds


async def deliveries(session: AsyncSession, review_id: str, most: int) -> Sequence[ReviewDelivery]:
    """Webhooks that wait to be looked into, oldest first."""
    wanted = select(ReviewDelivery).where(ReviewDelivery.review_id == review_id).order_by(ReviewDelivery.id)
    return (await session.scalars(wanted.limit(most))).all()


async def drop_deliveries(session: AsyncSession, ids: Sequence[int]) -> None:
    """Deliveries that are done."""
    await session.execute(delete(ReviewDelivery).where(ReviewDelivery.id.in_(list(ids))))


async def count_try(session: AsyncSession, ids: Sequence[int]) -> None:
    """One more look at deliveries that was too early."""
    await session.execute(
        update(ReviewDelivery).where(ReviewDelivery.id.in_(list(ids))).values(tries=ReviewDelivery.tries + 1)
    )


def _of_chosen(wanted: Any) -> Any:
    return wanted.join(ReviewedAnnotation, ReviewedAnnotation.id == ReviewCorrection.annotation_id).where(
        ReviewedAnnotation.chosen, ReviewedAnnotation.state == AnnotationState.SUBMITTED
    )


async def _all(session: AsyncSession, wanted: Any) -> list[Any]:
    return list((await session.execute(wanted)).all())
