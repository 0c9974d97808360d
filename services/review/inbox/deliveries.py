"""Webhooks of Label Studio: recorded at once, processed later.

Only the ids in a webhook are kept (its payload carries the project's token). A delivery only says that
something happened to an LsTask, so doubled, late or reordered webhooks do no harm. If Label Studio does not
show the change yet, the delivery is tried again a few times. The periodic pull finds whatever is still
missing then, or was lost on the way.
"""

from collections.abc import Mapping
from typing import Any

from services.database.engine import Database
from services.database.review_tables import ReviewDelivery
from services.review import annotation_repository, delivery_repository
from services.review.inbox.pull import Pull

MAX_TRIES = 5
MAX_DELIVERIES = 200
_DELETED = "deleted"


def parse_webhook(review_id: str, payload: Mapping[str, Any]) -> list[ReviewDelivery]:
    """Return the deliveries of a webhook's payload; none if it is about something else."""
    action = payload.get("action")
    if action in ("ANNOTATION_CREATED", "ANNOTATION_UPDATED"):
        annotation = _mapping(payload.get("annotation"))
        ls_task_id = _integer(annotation.get("task")) or _integer(_mapping(payload.get("task")).get("id"))
        annotation_id, expects = _integer(annotation.get("id")), _time(annotation.get("updated_at"))
        if ls_task_id is None and annotation_id is None:
            return []
        return [_delivery(review_id, ls_task_id, annotation_id, expects)]
    if action == "ANNOTATIONS_DELETED":
        entries = payload.get("annotations") or []
        ids = [_integer(_mapping(entry).get("id")) for entry in entries] if isinstance(entries, list) else []
        return [
            _delivery(review_id, None, annotation_id, _DELETED)
            for annotation_id in ids
            if annotation_id is not None
        ]
    return []


class Inbox:
    """Processes the deliveries of reviews."""

    def __init__(self, database: Database, pull: Pull) -> None:
        self._database, self._pull = database, pull

    async def process(self, review_id: str) -> bool:
        """Process the next deliveries of a review; True if any is done. Raises LabelStudioError."""
        async with self._database.reading() as session:
            waiting = await delivery_repository.list_deliveries(session, review_id, MAX_DELIVERIES)
            if not waiting:
                return False
            tasks = await annotation_repository.tasks_of_annotations(
                session,
                review_id,
                [delivery.ls_annotation_id for delivery in waiting if delivery.ls_annotation_id is not None],
            )
        task_ids = {
            delivery.id: delivery.ls_task_id or tasks.get(delivery.ls_annotation_id or 0)
            for delivery in waiting
        }
        summary = await self._pull.pull_tasks(
            review_id, [task_id for task_id in task_ids.values() if task_id is not None]
        )
        early: list[int] = []
        done: list[int] = []
        for delivery in waiting:
            updated_at = summary.updated_at.get(task_ids[delivery.id] or 0)
            (early if _is_early(delivery, updated_at) else done).append(delivery.id)
        async with self._database.writing() as session:
            await delivery_repository.delete_deliveries(session, done)
            await delivery_repository.count_try(session, early)
        return bool(done)


def _is_early(delivery: ReviewDelivery, updated_at: Mapping[int, str] | None) -> bool:
    """Return whether Label Studio does not show the change yet. `updated_at`: by annotation of the LsTask."""
    if updated_at is None or delivery.tries + 1 >= MAX_TRIES:
        return False
    current = updated_at.get(delivery.ls_annotation_id or 0)
    if delivery.expects == _DELETED:
        return current is not None
    return delivery.expects is not None and (current is None or current < delivery.expects)


def _delivery(
    review_id: str, ls_task_id: int | None, annotation_id: int | None, expects: str | None
) -> ReviewDelivery:
    return ReviewDelivery(
        review_id=review_id, ls_task_id=ls_task_id, ls_annotation_id=annotation_id, expects=expects, tries=0
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _time(value: Any) -> str | None:
    """A time of Label Studio as it is stored; None for what is none."""
    is_time = isinstance(value, str) and value.isascii() and value.isprintable() and len(value) <= 255
    return value or None if is_time else None


def _integer(value: Any) -> int | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31
    return value if fits else None
