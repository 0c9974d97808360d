"""The SQL of a review's items: the outbox. Commits nothing."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.database.review_states import ItemState
from services.database.review_tables import ReviewItem
from services.review.repository import _IN_ONE_STATEMENT, _all


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
        ReviewItem.review_id == review_id, ReviewItem.state == ItemState.WAITING
    )
    wanted = wanted.order_by(ReviewItem.doubt.desc(), ReviewItem.image_id)
    for item_id, lane in (await session.execute(wanted.where(ReviewItem.lane == "review"))).all():
        lanes[lane].append(item_id)
    audited = select(ReviewItem.id).where(
        ReviewItem.review_id == review_id, ReviewItem.state == ItemState.WAITING, ReviewItem.lane == "audit"
    )
    lanes["audit"] += (await session.scalars(audited.order_by(ReviewItem.image_id))).all()
    if most is not None:
        there = await count_items(session, review_id)
        most = max(
            most - sum(number for (_, state), number in there.items() if state != ItemState.WAITING), 0
        )
    places = [
        {"id": item_id, "position": place}
        for place, item_id in enumerate(spread(lanes["review"], lanes["audit"]))
    ]
    for start in range(0, len(places), _IN_ONE_STATEMENT):
        await session.execute(update(ReviewItem), places[start : start + _IN_ONE_STATEMENT])
    if most is not None:
        past = (
            ReviewItem.review_id == review_id,
            ReviewItem.state == ItemState.WAITING,
            ReviewItem.position >= most,
        )
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
    wanted = select(ReviewItem).where(
        ReviewItem.review_id == review_id, ReviewItem.state == ItemState.WAITING
    )
    found = (await session.scalars(wanted.order_by(ReviewItem.position, ReviewItem.id).limit(most))).all()
    await set_items(
        session, [item.id for item in found], state=ItemState.SENDING, image_grant_id=image_grant_id
    )
    return found


async def any_unsent(session: AsyncSession, review_id: str) -> bool:
    """Whether any item waits or is being sent."""
    wanted = select(ReviewItem.id).where(
        ReviewItem.review_id == review_id, ReviewItem.state.in_((ItemState.WAITING, ItemState.SENDING))
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
        ReviewItem.state == ItemState.SENT,
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
    rows = [{"id": item, "state": ItemState.SENT, "ls_task_id": task, "error": None} for item, task in sent]
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


async def sent_tasks(session: AsyncSession, review_id: str) -> list[int]:
    """The LsTasks of all items that are in Label Studio as far as we know."""
    wanted = select(ReviewItem.ls_task_id).where(
        ReviewItem.review_id == review_id, ReviewItem.state == ItemState.SENT
    )
    return [task for task in (await session.scalars(wanted)).all() if task is not None]


async def mark_gone(session: AsyncSession, review_id: str, ls_task_ids: Sequence[int]) -> None:
    """LsTasks that somebody deleted in Label Studio; what was said of them stays."""
    for start in range(0, len(ls_task_ids), _IN_ONE_STATEMENT):
        some = list(ls_task_ids[start : start + _IN_ONE_STATEMENT])
        of_them = (ReviewItem.review_id == review_id, ReviewItem.ls_task_id.in_(some))
        await session.execute(update(ReviewItem).where(*of_them).values(state=ItemState.GONE))


async def count_items(session: AsyncSession, review_id: str) -> dict[tuple[str, str], int]:
    """Items by lane and state."""
    wanted = select(ReviewItem.lane, ReviewItem.state, func.count()).where(ReviewItem.review_id == review_id)
    found = await _all(session, wanted.group_by(ReviewItem.lane, ReviewItem.state))
    return {(lane, state): number for lane, state, number in found}
