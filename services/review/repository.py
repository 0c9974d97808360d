"""The SQL of reviews, their items, annotations, corrections and deliveries. Commits nothing."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.database.models import now
from services.review.models import Review, ReviewCorrection, ReviewDelivery, ReviewedAnnotation, ReviewItem

WAITING, SENDING, SENT, REFUSED, GONE = "waiting", "sending", "sent", "refused", "gone"
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
        ReviewItem.state.in_((SENDING, SENT, GONE)),
        ReviewItem.id.not_in(annotated),
    )
    await session.execute(
        update(ReviewItem).where(*lost).values(state=WAITING, ls_task_id=None, ls_updated_at=None)
    )
    kept = (ReviewItem.review_id == review_id, ReviewItem.state == SENT)
    await session.execute(update(ReviewItem).where(*kept).values(state=GONE))


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
    return (await session.scalars(select(Review).where(Review.state != "failed").order_by(Review.id))).all()


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


async def add_items(session: AsyncSession, items: Sequence[dict[str, Any]]) -> None:
    """Insert items; those whose image and round are there already stay as they are."""
    if not items:
        return
    dialect = session.get_bind().dialect.name
    insert: Any = postgresql.insert if dialect == "postgresql" else sqlite.insert
    await session.execute(insert(ReviewItem).on_conflict_do_nothing(), list(items))


async def order_items(session: AsyncSession, review_id: str, most: int | None = None) -> None:
    """Give every waiting item its place: most doubtful first, audited ones spread evenly among them.

    The audit's order is that of its images' ids, which is chance. Those past the first `most` are dropped.
    """
    lanes: dict[str, list[int]] = {"review": [], "audit": []}
    wanted = select(ReviewItem.id, ReviewItem.lane).where(
        ReviewItem.review_id == review_id, ReviewItem.state == WAITING
    )
    wanted = wanted.order_by(ReviewItem.doubt.desc(), ReviewItem.image_id)
    for item_id, lane in (await session.execute(wanted.where(ReviewItem.lane == "review"))).all():
        lanes[lane].append(item_id)
    audited = select(ReviewItem.id).where(
        ReviewItem.review_id == review_id, ReviewItem.state == WAITING, ReviewItem.lane == "audit"
    )
    lanes["audit"] += (await session.scalars(audited.order_by(ReviewItem.image_id))).all()
    if most is not None:
        there = await count_items(session, review_id)
        most = max(most - sum(number for (_, state), number in there.items() if state != WAITING), 0)
    places = [
        {"id": item_id, "position": place}
        for place, item_id in enumerate(spread(lanes["review"], lanes["audit"]))
    ]
    for start in range(0, len(places), _IN_ONE_STATEMENT):
        await session.execute(update(ReviewItem), places[start : start + _IN_ONE_STATEMENT])
    if most is not None:
        past = (ReviewItem.review_id == review_id, ReviewItem.state == WAITING, ReviewItem.position >= most)
        await session.execute(delete(ReviewItem).where(*past))


def spread(many: Sequence[int], few: Sequence[int]) -> list[int]:
    """Both lists in their order, each spread evenly over the whole."""
    keyed = [((i + 0.5) / len(many), 0, one) for i, one in enumerate(many)]
    keyed += [((i + 0.5) / len(few), 1, one) for i, one in enumerate(few)]
    return [one for _, _, one in sorted(keyed)]


async def claim_items(
    session: AsyncSession, review_id: str, most: int, image_grant_id: str | None
) -> Sequence[ReviewItem]:
    """The next waiting items, marked as being sent with images under a grant."""
    wanted = select(ReviewItem).where(ReviewItem.review_id == review_id, ReviewItem.state == WAITING)
    found = (await session.scalars(wanted.order_by(ReviewItem.position, ReviewItem.id).limit(most))).all()
    await set_items(session, [item.id for item in found], state=SENDING, image_grant_id=image_grant_id)
    return found


async def any_unsent(session: AsyncSession, review_id: str) -> bool:
    """Whether any item waits or is being sent."""
    wanted = select(ReviewItem.id).where(
        ReviewItem.review_id == review_id, ReviewItem.state.in_((WAITING, SENDING))
    )
    return (await session.scalar(wanted.limit(1))) is not None


async def name_grant(session: AsyncSession, review_id: str, image_grant_id: str | None) -> None:
    """Items that do not say yet under which grant their images are shown."""
    unnamed = (ReviewItem.review_id == review_id, ReviewItem.image_grant_id.is_(None))
    await session.execute(update(ReviewItem).where(*unnamed).values(image_grant_id=image_grant_id or ""))


async def items_of_other_grants(
    session: AsyncSession, review_id: str, image_grant_id: str, most: int
) -> Sequence[ReviewItem]:
    """Items in Label Studio whose images are shown under another grant than this."""
    wanted = select(ReviewItem).where(
        ReviewItem.review_id == review_id,
        ReviewItem.state == SENT,
        ReviewItem.image_grant_id != image_grant_id,
    )
    return (await session.scalars(wanted.order_by(ReviewItem.position, ReviewItem.id).limit(most))).all()


async def items_in(session: AsyncSession, review_id: str, state: str, most: int) -> Sequence[ReviewItem]:
    """Items in a state, in the order of the queue."""
    wanted = select(ReviewItem).where(ReviewItem.review_id == review_id, ReviewItem.state == state)
    return (await session.scalars(wanted.order_by(ReviewItem.position, ReviewItem.id).limit(most))).all()


async def set_items(session: AsyncSession, ids: Sequence[int], **values: Any) -> None:
    """Change columns of items."""
    for start in range(0, len(ids), _IN_ONE_STATEMENT):
        some = list(ids[start : start + _IN_ONE_STATEMENT])
        await session.execute(update(ReviewItem).where(ReviewItem.id.in_(some)).values(**values))


async def mark_sent(session: AsyncSession, sent: Sequence[tuple[int, int]]) -> None:
    """Items (by id) are in Label Studio as the LsTasks beside them."""
    rows = [{"id": item, "state": SENT, "ls_task_id": task, "error": None} for item, task in sent]
    if rows:
        await session.execute(update(ReviewItem), rows)


async def mark_found(session: AsyncSession, found: Sequence[tuple[int, int]]) -> None:
    """Items (by id) were found in Label Studio as the LsTasks beside them.

    Under which grant their images are shown there is not known: the next push gives them new addresses.
    """
    await mark_sent(session, found)
    await set_items(session, [item for item, _ in found], image_grant_id="")


async def items_of_tasks(
    session: AsyncSession, review_id: str, ls_task_ids: Sequence[int]
) -> Sequence[ReviewItem]:
    """The items of LsTasks, held against others that store what was said of them."""
    wanted = select(ReviewItem).where(
        ReviewItem.review_id == review_id, ReviewItem.ls_task_id.in_(list(ls_task_ids))
    )
    return (await session.scalars(wanted.order_by(ReviewItem.id).with_for_update())).all()


async def items_of_keys(session: AsyncSession, review_id: str, keys: Sequence[str]) -> dict[str, ReviewItem]:
    """Items by their key."""
    wanted = select(ReviewItem).where(ReviewItem.review_id == review_id, ReviewItem.fo1_key.in_(list(keys)))
    return {item.fo1_key: item for item in (await session.scalars(wanted)).all()}


async def items_of_image(session: AsyncSession, review_id: str, image_id: str) -> Sequence[ReviewItem]:
    """All rounds of an image, first to last."""
    wanted = select(ReviewItem).where(ReviewItem.review_id == review_id, ReviewItem.image_id == image_id)
    return (await session.scalars(wanted.order_by(ReviewItem.round))).all()


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


async def sent_tasks(session: AsyncSession, review_id: str) -> list[int]:
    """The LsTasks of all items that are in Label Studio as far as we know."""
    wanted = select(ReviewItem.ls_task_id).where(ReviewItem.review_id == review_id, ReviewItem.state == SENT)
    return [task for task in (await session.scalars(wanted)).all() if task is not None]


async def mark_gone(session: AsyncSession, review_id: str, ls_task_ids: Sequence[int]) -> None:
    """LsTasks that somebody deleted in Label Studio; what was said of them stays."""
    for start in range(0, len(ls_task_ids), _IN_ONE_STATEMENT):
        some = list(ls_task_ids[start : start + _IN_ONE_STATEMENT])
        of_them = (ReviewItem.review_id == review_id, ReviewItem.ls_task_id.in_(some))
        await session.execute(update(ReviewItem).where(*of_them).values(state=GONE))


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


async def count_items(session: AsyncSession, review_id: str) -> dict[tuple[str, str], int]:
    """Items by lane and state."""
    wanted = select(ReviewItem.lane, ReviewItem.state, func.count()).where(ReviewItem.review_id == review_id)
    found = await _all(session, wanted.group_by(ReviewItem.lane, ReviewItem.state))
    return {(lane, state): number for lane, state, number in found}


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
        .where(ReviewedAnnotation.review_id == review_id, ReviewedAnnotation.state == "unreadable")
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
            ReviewedAnnotation.review_id == review_id, ReviewedAnnotation.state == "submitted"
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
        ReviewedAnnotation.chosen, ReviewedAnnotation.state == "submitted"
    )


async def _all(session: AsyncSession, wanted: Any) -> list[Any]:
    return list((await session.execute(wanted)).all())
