"""Webhooks of Label Studio: heard at once, looked into later.

Of a webhook only the ids are kept (its payload carries the project's token): that something happened to an
LsTask is all it says, so that doubled, late or disordered webhooks do no harm. One that was heard before
Label Studio shows the change is looked into again a few times; what is then still not seen, or was lost on
the way, the reconciling pull finds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.database.engine import Database
from services.database.review_tables import ReviewDelivery
from services.review import repository
from services.review.inbox.pull import Pull, Seen

MAX_TRIES = 5
AT_ONCE = 200
_DELETED = "deleted"


def deliveries_of(review_id: str, payload: Mapping[str, Any]) -> list[ReviewDelivery]:
    """What a webhook names; nothing where it is about something else."""
    action = payload.get("action")
    if action in ("ANNOTATION_CREATED", "ANNOTATION_UPDATED"):
        annotation = _mapping(payload.get("annotation"))
        task = _integer(annotation.get("task")) or _integer(_mapping(payload.get("task")).get("id"))
        number, expects = _integer(annotation.get("id")), annotation.get("updated_at")
        if task is None and number is None:
            return []
        return [_delivery(review_id, task, number, str(expects)[:255] if expects else None)]
    if action == "ANNOTATIONS_DELETED":
        found = payload.get("annotations") or []
        numbers = [_integer(_mapping(one).get("id")) for one in found] if isinstance(found, list) else []
        return [_delivery(review_id, None, number, _DELETED) for number in numbers if number is not None]
    return []


async def keep(session: AsyncSession, found: Sequence[ReviewDelivery]) -> None:
    """Write deliveries down."""
    session.add_all(found)
    await session.flush()


class Inbox:
    """Looks into the deliveries of reviews."""

    def __init__(self, database: Database, pull: Pull) -> None:
        self._database, self._pull = database, pull

    async def look(self, review_id: str) -> bool:
        """Look into what was heard; True where there was anything done. Raises LabelStudioError."""
        async with self._database.reading() as session:
            waiting = await repository.deliveries(session, review_id, AT_ONCE)
            if not waiting:
                return False
            numbers = [one.ls_annotation_id for one in waiting if one.ls_annotation_id is not None]
            tasks = await repository.tasks_of_annotations(session, review_id, numbers)
        wanted = {one.id: one.ls_task_id or tasks.get(one.ls_annotation_id or 0) for one in waiting}
        pulled = await self._pull.heard(review_id, [task for task in wanted.values() if task is not None])
        early = [one.id for one in waiting if _is_early(one, pulled.seen.get(wanted[one.id] or 0))]
        async with self._database.writing() as session:
            await repository.drop_deliveries(session, [one.id for one in waiting if one.id not in early])
            await repository.count_try(session, early)
        return len(early) < len(waiting)


def _is_early(one: ReviewDelivery, seen: Seen | None) -> bool:
    """Whether Label Studio did not show yet what the webhook told of."""
    if seen is None or one.tries + 1 >= MAX_TRIES:
        return False
    there = seen.annotations.get(one.ls_annotation_id or 0)
    if one.expects == _DELETED:
        return there is not None
    return one.expects is not None and (there is None or there < one.expects)


def _delivery(
    review_id: str, task: int | None, annotation: int | None, expects: str | None
) -> ReviewDelivery:
    return ReviewDelivery(
        review_id=review_id, ls_task_id=task, ls_annotation_id=annotation, expects=expects, tries=0
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _integer(value: Any) -> int | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31
    return value if fits else None
