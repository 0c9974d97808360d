"""The SQL of a review's items: the outbox. Commits nothing."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.corrections import Lane
from schemas.reviews import ItemState
from services.database.review_tables import ReviewedAnnotation, ReviewItem

# Databases limit the number of parameters of a statement.
ITEMS_PER_STATEMENT = 500


async def add_items(session: AsyncSession, items: Sequence[dict[str, Any]]) -> None:
    """Insert items. An item whose image and round already exist stays as it is."""
    if not items:
        return
    dialect = session.get_bind().dialect.name
    insert: Any = postgresql.insert if dialect == "postgresql" else sqlite.insert
    await session.execute(insert(ReviewItem).on_conflict_do_nothing(), list(items))


async def order_items(session: AsyncSession, review_id: str, max_items: int | None = None) -> None:
    """Set the position of every waiting item: most doubtful first, audit items spread evenly among them, and
    honeypots among both.

    Audit items and honeypots are ordered by image id, which is a random order. If the review would have more
    than `max_items` items, the waiting items at the end are deleted, honeypots last of all. Further rounds
    are not counted and stay where they are: people have annotated these images already.
    """
    first_round = (ReviewItem.review_id == review_id, ReviewItem.round == 1)
    waiting = (*first_round, ReviewItem.state == ItemState.WAITING)
    by_doubt = select(ReviewItem.id).where(*waiting, ReviewItem.known.is_(None))
    by_doubt = by_doubt.where(ReviewItem.lane == Lane.REVIEW)
    by_doubt = by_doubt.order_by(ReviewItem.doubt.desc(), ReviewItem.image_id)
    by_image = select(ReviewItem.id).where(*waiting).order_by(ReviewItem.image_id)
    review_ids = (await session.scalars(by_doubt)).all()
    audited = by_image.where(ReviewItem.known.is_(None), ReviewItem.lane == Lane.AUDIT)
    audit_ids = (await session.scalars(audited)).all()
    honeypot_ids = (await session.scalars(by_image.where(ReviewItem.known.is_not(None)))).all()
    item_ids = interleave(review_ids, audit_ids)
    room = len(item_ids) + len(honeypot_ids)
    if max_items is not None:
        begun = select(func.count()).where(*first_round, ReviewItem.state != ItemState.WAITING)
        room = min(room, max(max_items - (await session.scalar(begun) or 0), 0))
    honeypot_ids = honeypot_ids[:room]
    ordered = interleave(item_ids[: room - len(honeypot_ids)], honeypot_ids)
    # What no position is set of is beyond the limit.
    await session.execute(update(ReviewItem).where(*waiting).values(position=len(ordered)))
    positions = [{"id": item_id, "position": position} for position, item_id in enumerate(ordered)]
    for start in range(0, len(positions), ITEMS_PER_STATEMENT):
        await session.execute(update(ReviewItem), positions[start : start + ITEMS_PER_STATEMENT])
    await session.execute(delete(ReviewItem).where(*waiting, ReviewItem.position >= len(ordered)))


async def image_ids(session: AsyncSession, review_id: str) -> list[str]:
    """Return the ids of a review's images or videos, each once, in the order in which people see them."""
    query = select(ReviewItem.image_id).where(ReviewItem.review_id == review_id)
    query = query.group_by(ReviewItem.image_id).order_by(func.min(ReviewItem.position))
    return list(await session.scalars(query))


def interleave(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """Merge two lists: each keeps its order and is spread evenly over the result."""
    keyed = [((i + 0.5) / len(first), 0, number) for i, number in enumerate(first)]
    keyed += [((i + 0.5) / len(second), 1, number) for i, number in enumerate(second)]
    return [number for _, _, number in sorted(keyed)]


async def claim_items(
    session: AsyncSession, review_id: str, limit: int, image_grant_id: str | None
) -> Sequence[ReviewItem]:
    """Mark the next waiting items as being sent, with images under this grant, and return them."""
    items = await items_in_state(session, review_id, ItemState.WAITING, limit)
    await set_items(
        session, [item.id for item in items], state=ItemState.SENDING, image_grant_id=image_grant_id
    )
    return items


async def any_unsent(session: AsyncSession, review_id: str) -> bool:
    """Return whether any item waits or is being sent."""
    query = select(ReviewItem.id).where(
        ReviewItem.review_id == review_id, ReviewItem.state.in_((ItemState.WAITING, ItemState.SENDING))
    )
    return (await session.scalar(query.limit(1))) is not None


async def requeue_lost_items(session: AsyncSession, review_id: str) -> None:
    """After the project was deleted: queue the items again that nobody annotated; the others are gone."""
    annotated = select(ReviewedAnnotation.item_id).where(ReviewedAnnotation.review_id == review_id)
    lost = (
        ReviewItem.review_id == review_id,
        ReviewItem.state.in_((ItemState.SENDING, ItemState.SENT, ItemState.GONE)),
        ReviewItem.id.not_in(annotated),
    )
    await session.execute(
        update(ReviewItem).where(*lost).values(state=ItemState.WAITING, ls_task_id=None, ls_updated_at=None)
    )
    annotated_items = (ReviewItem.review_id == review_id, ReviewItem.state == ItemState.SENT)
    await session.execute(update(ReviewItem).where(*annotated_items).values(state=ItemState.GONE))


async def set_missing_grants(session: AsyncSession, review_id: str, image_grant_id: str | None) -> None:
    """Set the image grant of the items that have none recorded."""
    missing = (ReviewItem.review_id == review_id, ReviewItem.image_grant_id.is_(None))
    await session.execute(update(ReviewItem).where(*missing).values(image_grant_id=image_grant_id or ""))


async def items_of_other_grants(
    session: AsyncSession, review_id: str, image_grant_id: str, limit: int
) -> Sequence[ReviewItem]:
    """Return items in Label Studio whose image addresses were made under another grant than this."""
    query = select(ReviewItem).where(
        ReviewItem.review_id == review_id,
        ReviewItem.state == ItemState.SENT,
        ReviewItem.image_grant_id != image_grant_id,
    )
    return (await session.scalars(query.order_by(ReviewItem.position, ReviewItem.id).limit(limit))).all()


async def items_in_state(
    session: AsyncSession, review_id: str, state: ItemState, limit: int
) -> Sequence[ReviewItem]:
    """Return items in a state, in the order of the queue."""
    query = select(ReviewItem).where(ReviewItem.review_id == review_id, ReviewItem.state == state)
    return (await session.scalars(query.order_by(ReviewItem.position, ReviewItem.id).limit(limit))).all()


async def shown_after(
    session: AsyncSession, review_id: str, last_id: int, state: ItemState | None = None
) -> Sequence[tuple[int, bytes]]:
    """Return the next items after `last_id` as id and packed document, of all states unless one is named."""
    query = select(ReviewItem.id, ReviewItem.shown).where(
        ReviewItem.review_id == review_id, ReviewItem.id > last_id
    )
    if state is not None:
        query = query.where(ReviewItem.state == state)
    rows = await session.execute(query.order_by(ReviewItem.id).limit(ITEMS_PER_STATEMENT))
    return [(item_id, shown) for item_id, shown in rows]


async def set_items(session: AsyncSession, ids: Sequence[int], **values: Any) -> None:
    """Change columns of items."""
    for start in range(0, len(ids), ITEMS_PER_STATEMENT):
        batch = list(ids[start : start + ITEMS_PER_STATEMENT])
        await session.execute(update(ReviewItem).where(ReviewItem.id.in_(batch)).values(**values))


async def mark_sent(session: AsyncSession, sent: Sequence[tuple[int, int]]) -> None:
    """Record that items are in Label Studio. `sent`: pairs of item id and LsTask id."""
    rows = [
        {"id": item_id, "state": ItemState.SENT, "ls_task_id": ls_task_id, "error": None}
        for item_id, ls_task_id in sent
    ]
    if rows:
        await session.execute(update(ReviewItem), rows)


async def mark_recovered(session: AsyncSession, recovered: Sequence[tuple[int, int]]) -> None:
    """Record that items were found in Label Studio. `recovered`: pairs of item id and LsTask id.

    The grant of their image addresses is unknown, so the next push gives them new addresses; their
    annotations are read whatever was stored of another LsTask.
    """
    await mark_sent(session, recovered)
    await set_items(session, [item_id for item_id, _ in recovered], image_grant_id="", ls_updated_at=None)


async def items_of_tasks(
    session: AsyncSession, review_id: str, ls_task_ids: Sequence[int], item_ids: Sequence[int] = ()
) -> Sequence[ReviewItem]:
    """Return the items of LsTasks and those of `item_ids`, locked against writers of their annotations."""
    query = select(ReviewItem).where(
        ReviewItem.review_id == review_id,
        or_(ReviewItem.ls_task_id.in_(list(ls_task_ids)), ReviewItem.id.in_(list(item_ids))),
    )
    return (await session.scalars(query.order_by(ReviewItem.id).with_for_update())).all()


async def lock_items(session: AsyncSession, item_ids: Sequence[int]) -> dict[int, ReviewItem]:
    """Return items by id, locked against other writers of their annotations."""
    query = select(ReviewItem).where(ReviewItem.id.in_(list(item_ids))).order_by(ReviewItem.id)
    return {item.id: item for item in (await session.scalars(query.with_for_update())).all()}


async def items_by_key(session: AsyncSession, review_id: str, keys: Sequence[str]) -> dict[str, ReviewItem]:
    """Return the items with these keys, by key."""
    query = select(ReviewItem).where(ReviewItem.review_id == review_id, ReviewItem.fo1_key.in_(list(keys)))
    return {item.fo1_key: item for item in (await session.scalars(query)).all()}


async def items_of_part(
    session: AsyncSession, review_id: str, image_id: str, part: str
) -> Sequence[ReviewItem]:
    """Return the items of all rounds of a part of an image, first round first."""
    query = select(ReviewItem).where(
        ReviewItem.review_id == review_id, ReviewItem.image_id == image_id, ReviewItem.part == part
    )
    return (await session.scalars(query.order_by(ReviewItem.round))).all()


async def count_sent(session: AsyncSession, review_id: str) -> int:
    """Return the number of items that are in Label Studio."""
    query = select(func.count(ReviewItem.ls_task_id)).where(
        ReviewItem.review_id == review_id, ReviewItem.state == ItemState.SENT
    )
    return (await session.scalar(query)) or 0


async def keyed_tasks(session: AsyncSession, review_id: str) -> list[tuple[int, str, int]]:
    """Return (item id, key, LsTask id) of all items that have an LsTask."""
    query = select(ReviewItem.id, ReviewItem.fo1_key, ReviewItem.ls_task_id).where(
        ReviewItem.review_id == review_id, ReviewItem.state.in_((ItemState.SENT, ItemState.GONE))
    )
    rows = (await session.execute(query.order_by(ReviewItem.id))).all()
    return [(item_id, key, task_id) for item_id, key, task_id in rows if task_id is not None]


async def mark_gone(session: AsyncSession, review_id: str, ls_task_ids: Sequence[int]) -> None:
    """Record that LsTasks were deleted in Label Studio; their annotations are kept."""
    for start in range(0, len(ls_task_ids), ITEMS_PER_STATEMENT):
        batch = list(ls_task_ids[start : start + ITEMS_PER_STATEMENT])
        deleted = (ReviewItem.review_id == review_id, ReviewItem.ls_task_id.in_(batch))
        await session.execute(update(ReviewItem).where(*deleted).values(state=ItemState.GONE))


async def count_items(session: AsyncSession, review_id: str) -> dict[tuple[str, str], int]:
    """Return the number of items by lane and state."""
    query = select(ReviewItem.lane, ReviewItem.state, func.count()).where(ReviewItem.review_id == review_id)
    rows = (await session.execute(query.group_by(ReviewItem.lane, ReviewItem.state))).all()
    return {(lane, state): number for lane, state, number in rows}


async def count_shown(session: AsyncSession, review_id: str) -> tuple[int, int | None]:
    """Return the numbers of images, and of labels in all items, that people are or will be shown.

    Labels: None if an older version has pushed any of them.
    """
    query = select(
        func.count(),
        func.count(ReviewItem.image_id.distinct()),
        func.count(ReviewItem.num_labels),
        func.sum(ReviewItem.num_labels),
    ).where(
        ReviewItem.review_id == review_id,
        ReviewItem.state.in_((ItemState.WAITING, ItemState.SENDING, ItemState.SENT)),
    )
    num_items, num_images, num_counted, num_labels = (await session.execute(query)).one()
    return num_images, int(num_labels or 0) if num_counted == num_items else None
