"""What people said, out of Label Studio: each annotation once, in its latest state, with its corrections.

Two ways lead here and may cross: looking at everything that changed since the last look (`changed`; an
LsTask's `updated_at` moves on every create, update and delete of an annotation), and looking at the LsTasks
that webhooks named (`heard`). Both fetch an LsTask as it is now and store that; a webhook's own content is
never believed. An LsTask that was seen in a later state already is left alone. An annotation that cannot be
understood is set aside with the reason (`unreadable`) and stops nothing else. Times of Label Studio's clock
are its own ISO 8601 texts, which compare as text.
"""

import asyncio
import json
import logging
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.corrections import Lane, correction_line
from services.database.engine import Database
from services.database.models import now
from services.database.review_states import AnnotationState
from services.database.review_tables import Review, ReviewedAnnotation, ReviewItem
from services.label_studio.client import LabelStudio
from services.label_studio.convert import KEY, read_result
from services.label_studio.shown import unpack
from services.review import item_repository, repository
from services.review.doubles import remove_doubles
from services.review.inbox.differences import Submission, corrections_of
from services.review.inbox.resolution import settle_image

LIST_PAGE = 500
FETCH = 50
# A transaction of Label Studio may become visible this much later than the time it carries.
LATE_S = 60.0
_log = logging.getLogger("fo1.service")


@dataclass
class Pulled:
    """What a pull found: LsTasks looked at, annotations new, changed and deleted."""

    ls_tasks: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    seen: dict[int, "Seen"] = field(default_factory=dict)

    def figures(self) -> dict[str, int]:
        """The numbers, for an answer."""
        names = ("ls_tasks", "created", "updated", "deleted")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Seen:
    """The annotations of an LsTask as they were: `updated_at` by id."""

    annotations: dict[int, str]


class Pull:
    """Pulls reviews out of one Label Studio."""

    def __init__(self, database: Database, client: LabelStudio) -> None:
        self._database, self._client = database, client
        self._people: dict[int, str] = {}

    async def changed(self, review_id: str) -> Pulled:
        """Everything that changed since the last look. Raises LabelStudioError."""
        pulled = Pulled()
        review = await self._review(review_id)
        if review is None or review.project_id is None:
            return pulled
        clock = await self._client.clock()
        await self._look(review, pulled)
        await self._miss(review)
        # Whatever carries an earlier time than this was visible when the look began.
        until = max(_iso(clock - timedelta(seconds=LATE_S)), review.pulled_until or "")
        async with self._database.writing() as session:
            await repository.set_review(session, review.id, pulled_until=until, pulled_at=now())
        return pulled

    async def heard(self, review_id: str, ls_task_ids: Sequence[int]) -> Pulled:
        """The LsTasks that webhooks named. Raises LabelStudioError."""
        pulled = Pulled()
        review = await self._review(review_id)
        if review is not None:
            await self._fetch(review, list(dict.fromkeys(ls_task_ids)), pulled)
        return pulled

    async def _review(self, review_id: str) -> Review | None:
        async with self._database.reading() as session:
            return await repository.find_review(session, review_id)

    async def _look(self, review: Review, pulled: Pulled) -> None:
        """Go through what changed."""
        assert review.project_id is not None
        async with self._database.reading() as session:
            known = await repository.any_annotation(session, review.id)
        if known:
            await self._go_through(review, pulled, review.pulled_until, None)
            return
        # Nothing known can have been deleted: only what was annotated counts, however many LsTasks there are.
        for only in ("total_annotations", "cancelled_annotations"):
            await self._go_through(review, pulled, None, only)

    async def _miss(self, review: Review) -> None:
        """Find out which LsTasks were deleted in Label Studio, where there are fewer than there should be."""
        assert review.project_id is not None
        async with self._database.reading() as session:
            sent = await item_repository.sent_tasks(session, review.id)
        if await self._client.num_tasks(review.project_id) >= len(sent):
            return
        there = {task for _, task, _ in await self._client.all_keys(review.project_id, KEY)}
        async with self._database.writing() as session:
            await item_repository.mark_gone(session, review.id, [task for task in sent if task not in there])

    async def _go_through(self, review: Review, pulled: Pulled, since: str | None, only: str | None) -> None:
        """By rising `updated_at`, from the last one met: what moves on in the meantime is met again."""
        assert review.project_id is not None
        met: dict[int, str] = {}
        latest, page = since or "", 1
        while True:
            tasks = await self._client.changed_tasks(review.project_id, latest or None, only, LIST_PAGE, page)
            fresh = [int(one["id"]) for one in tasks if met.get(int(one["id"])) != one["updated_at"]]
            met |= {int(one["id"]): one["updated_at"] for one in tasks}
            await self._fetch(review, fresh, pulled)
            if len(tasks) < LIST_PAGE:
                return
            # Where one moment fills a whole page, the next page of it; else from the last moment on.
            page = page + 1 if tasks[-1]["updated_at"] == latest else 1
            latest = max(latest, tasks[-1]["updated_at"])

    async def _fetch(self, review: Review, ls_task_ids: Sequence[int], pulled: Pulled) -> None:
        assert review.project_id is not None
        for start in range(0, len(ls_task_ids), FETCH):
            some = ls_task_ids[start : start + FETCH]
            tasks = await self._client.tasks_with_annotations(review.project_id, some)
            await self._know_people(tasks)
            unknown = await self._store(review, tasks, pulled)
            if unknown:
                await self._adopt(review, unknown, tasks, pulled)

    async def _adopt(
        self, review: Review, unknown: set[int], tasks: Sequence[dict[str, Any]], pulled: Pulled
    ) -> None:
        """LsTasks we did not know: doubles of late inserts, or those of a database that was lost."""
        assert review.project_id is not None
        await remove_doubles(self._database, self._client, review.id, review.project_id)
        keys = {task: key for key, task, _ in await self._client.all_keys(review.project_id, KEY)}
        async with self._database.writing() as session:
            items = await item_repository.items_of_keys(
                session, review.id, [keys[one] for one in unknown if one in keys]
            )
            free = [
                (items[keys[task]].id, task)
                for task in unknown
                if keys.get(task) in items and items[keys[task]].ls_task_id is None
            ]
            await item_repository.mark_found(session, free)
        await self._store(review, [one for one in tasks if int(one["id"]) in unknown], pulled)

    async def _know_people(self, tasks: Sequence[dict[str, Any]]) -> None:
        wanted = {one.get("completed_by") for task in tasks for one in task.get("annotations") or []}
        if any(isinstance(person, int) and person not in self._people for person in wanted):
            self._people = await self._client.people()

    async def _store(self, review: Review, tasks: Sequence[dict[str, Any]], pulled: Pulled) -> set[int]:
        """Write down LsTasks as they are; the ids of those that no item stands behind."""
        by_id = {int(task["id"]): task for task in tasks}
        if not by_id:
            return set()
        async with self._database.writing() as session:
            items = await item_repository.items_of_tasks(session, review.id, list(by_id))
            said = await repository.annotations_of_items(session, [item.id for item in items])
            known: dict[int, list[ReviewedAnnotation]] = {}
            for one in said:
                known.setdefault(one.item_id, []).append(one)
            for item in items:
                task = by_id.pop(int(item.ls_task_id or 0))
                pulled.ls_tasks += 1
                found = {int(one["id"]): one for one in task.get("annotations") or []}
                pulled.seen[int(task["id"])] = Seen({key: _at(one) for key, one in found.items()})
                if item.ls_updated_at is not None and task["updated_at"] < item.ls_updated_at:
                    continue
                item.ls_updated_at = task["updated_at"]
                if await self._differs(session, review, item, found, known.get(item.id, []), pulled):
                    await session.flush()
                    await settle_image(session, review, item.image_id)
        return set(by_id)

    async def _differs(
        self,
        session: AsyncSession,
        review: Review,
        item: ReviewItem,
        found: dict[int, dict[str, Any]],
        known: Sequence[ReviewedAnnotation],
        pulled: Pulled,
    ) -> bool:
        changed = False
        by_id = {one.ls_annotation_id: one for one in known}
        for number, kept in by_id.items():
            if number not in found and kept.state != AnnotationState.DELETED:
                kept.state, kept.chosen = AnnotationState.DELETED, False
                await repository.replace_corrections(session, review.id, kept.id, [])
                pulled.deleted += 1
                changed = True
        for number, one in found.items():
            old = by_id.get(number)
            if old is not None and old.state != AnnotationState.DELETED and old.ls_updated_at == _at(one):
                continue
            await self._write(session, review, item, one, old)
            pulled.created += old is None
            pulled.updated += old is not None
            changed = True
        return changed

    async def _write(
        self,
        session: AsyncSession,
        review: Review,
        item: ReviewItem,
        one: dict[str, Any],
        row: ReviewedAnnotation | None,
    ) -> None:
        """The annotation's row and its corrections, made anew; of one that is unreadable only the row."""
        cancelled = bool(one.get("was_cancelled"))
        result = one.get("result") if isinstance(one.get("result"), list) else []
        read = await asyncio.to_thread(
            _read, item.shown, result or [], self._submission(review, item, one), cancelled
        )
        values = {
            "review_id": review.id,
            "item_id": item.id,
            "ls_annotation_id": int(one["id"]),
            "ls_updated_at": _at(one),
            "state": AnnotationState.UNREADABLE
            if read.error is not None
            else AnnotationState.CANCELLED
            if cancelled
            else AnnotationState.SUBMITTED,
            "annotator": self._annotator(one),
            "seconds": _seconds(one),
            "ground_truth": bool(one.get("ground_truth")),
            "comment": read.comment,
            "error": read.error,
            "chosen": False,
            "result": zlib.compress(json.dumps(result).encode(), 6),
            "seen_at": now(),
        }
        if read.error is not None:
            _log.warning("review %s: annotation %s is set aside: %s", review.id, one["id"], read.error)
        if row is None:
            row = ReviewedAnnotation(**values)
            session.add(row)
        else:
            for name, value in values.items():
                setattr(row, name, value)
        await session.flush()
        await repository.replace_corrections(session, review.id, row.id, read.documents)

    def _submission(self, review: Review, item: ReviewItem, one: dict[str, Any]) -> Submission:
        return Submission(
            annotation_key=f"{review.key}/{one['id']}",
            annotator=self._annotator(one),
            at=_at(one),
            seconds=_seconds(one),
            lane=Lane(item.lane),
            ground_truth=bool(one.get("ground_truth")),
        )

    def _annotator(self, one: dict[str, Any]) -> str:
        return self._people.get(one.get("completed_by") or 0, f"user {one.get('completed_by')}")


@dataclass(frozen=True)
class _Read:
    """What an annotation says: its comment and its corrections as (action, JSON); or why it says nothing."""

    comment: str | None = None
    documents: Sequence[tuple[str, str]] = ()
    error: str | None = None


def _read(packed: bytes, result: Sequence[Any], submission: Submission, cancelled: bool) -> _Read:
    # Any program may write annotations, in any form: whatever goes wrong here is this annotation's fault.
    try:
        shown = unpack(packed)
        said = read_result(result, shown)
        comment = _storable(said.comment) or None
        if cancelled:
            return _Read(comment)
        found = corrections_of(shown, said, submission)
        return _Read(comment, [(one.action.value, correction_line(one)) for one in found])
    except Exception as error:
        told = str(error) or type(error).__name__
        return _Read(error=_storable(f"it cannot be understood: {' '.join(told.split())}")[:1000])


def _storable(text: str | None) -> str:
    """The text without what no database takes: zeros, halves of characters."""
    return (text or "").replace("\0", "").encode("utf-8", "replace").decode()


def _at(one: dict[str, Any]) -> str:
    return str(one.get("updated_at") or "")


def _seconds(one: dict[str, Any]) -> float | None:
    value = one.get("lead_time")
    known = isinstance(value, int | float) and math.isfinite(value) and value >= 0
    return float(value) if known and value is not None else None


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
