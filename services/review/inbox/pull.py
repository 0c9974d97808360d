"""Reads annotations from Label Studio: each once, in its latest state.

Two ways lead here and may overlap: `pull_changes` reads everything that changed since the last pull (an
LsTask's `updated_at` moves when an annotation is created, updated or deleted); `pull_tasks` reads the
LsTasks named by webhooks. Both fetch LsTasks as they are now and store that; a webhook's own content is
never used. An LsTask whose later state is already stored is skipped. One unreadable annotation does not
stop the others. Times of Label Studio's clock are its own ISO 8601 texts, which compare as text.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.reviews import AnnotationState
from services.database.engine import Database
from services.database.models import now
from services.database.review_tables import Review, ReviewedAnnotation, ReviewItem
from services.label_studio.client import LabelStudio
from services.label_studio.convert import KEY
from services.label_studio.labelling_config import control_names
from services.review import annotation_repository, correction_repository, item_repository, repository
from services.review.duplicates import remove_duplicates
from services.review.inbox.annotations import updated_at_of, write_annotation
from services.review.inbox.resolution import settle_image

LIST_PAGE = 500
FETCH_TASKS = 50
# A transaction of Label Studio may become visible this much later than the time it carries.
MAX_DELAY_S = 60.0


@dataclass
class PullSummary:
    """Numbers of LsTasks read, and of annotations created, updated and deleted.

    `updated_at`: for each LsTask read, when its annotations were last changed, by annotation id.
    """

    ls_tasks: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    updated_at: dict[int, dict[int, str]] = field(default_factory=dict)

    def figures(self) -> dict[str, int]:
        """Return the numbers as the API answers them."""
        return {name: getattr(self, name) for name in ("ls_tasks", "created", "updated", "deleted")}


class Pull:
    """Pulls reviews from one Label Studio."""

    def __init__(self, database: Database, client: LabelStudio) -> None:
        self._database, self._client = database, client
        self._user_names: dict[int, str] = {}

    async def pull_changes(self, review_id: str) -> PullSummary:
        """Pull everything that changed since the last pull. Raises LabelStudioError."""
        summary = PullSummary()
        review = await self._review(review_id)
        if review is None or review.project_id is None:
            return summary
        clock = await self._client.clock()
        await self._pull_project(review, review.project_id, summary)
        await self._mark_deleted_tasks(review.id, review.project_id)
        # Everything with an earlier time than this was visible when the pull began.
        until = max(_iso(clock - timedelta(seconds=MAX_DELAY_S)), review.pulled_until or "")
        async with self._database.writing() as session:
            await repository.set_review(session, review.id, pulled_until=until, pulled_at=now())
        return summary

    async def pull_tasks(self, review_id: str, ls_task_ids: Sequence[int]) -> PullSummary:
        """Pull these LsTasks. Raises LabelStudioError."""
        summary = PullSummary()
        review = await self._review(review_id)
        if review is not None:
            await self._fetch(review, list(dict.fromkeys(ls_task_ids)), summary)
        return summary

    async def _review(self, review_id: str) -> Review | None:
        async with self._database.reading() as session:
            return await repository.find_review(session, review_id)

    async def _pull_project(self, review: Review, project_id: int, summary: PullSummary) -> None:
        async with self._database.reading() as session:
            any_stored = await annotation_repository.any_annotation(session, review.id)
        if any_stored:
            await self._pull_list(review, project_id, summary, review.pulled_until, None)
            return
        # Nothing is stored, so nothing can have been deleted: only annotated LsTasks matter.
        for counter in ("total_annotations", "cancelled_annotations"):
            await self._pull_list(review, project_id, summary, None, counter)

    async def _pull_list(
        self, review: Review, project_id: int, summary: PullSummary, since: str | None, counter: str | None
    ) -> None:
        """Read the list by rising `updated_at`; LsTasks that change in the meantime are read again.

        `counter`: only LsTasks for which this counter of annotations is above zero.
        """
        read: dict[int, str] = {}
        latest, page = since or "", 1
        while True:
            tasks = await self._client.changed_tasks(project_id, latest or None, counter, LIST_PAGE, page)
            updated_at = {int(task["id"]): task["updated_at"] for task in tasks}
            fresh = [task_id for task_id, time in updated_at.items() if read.get(task_id) != time]
            read |= updated_at
            await self._fetch(review, fresh, summary)
            if len(tasks) < LIST_PAGE:
                return
            # If one moment fills a whole page, read its next page; else go on from the last moment.
            page = page + 1 if tasks[-1]["updated_at"] == latest else 1
            latest = max(latest, tasks[-1]["updated_at"])

    async def _mark_deleted_tasks(self, review_id: str, project_id: int) -> None:
        """If the project has fewer LsTasks than expected, find and mark those deleted in Label Studio."""
        async with self._database.reading() as session:
            sent = await item_repository.sent_tasks(session, review_id)
        if await self._client.num_tasks(project_id) >= len(sent):
            return
        present = {ls_task_id for _, ls_task_id, _ in await self._client.all_keys(project_id, KEY)}
        deleted = [ls_task_id for ls_task_id in sent if ls_task_id not in present]
        async with self._database.writing() as session:
            await item_repository.mark_gone(session, review_id, deleted)

    async def _fetch(self, review: Review, ls_task_ids: Sequence[int], summary: PullSummary) -> None:
        assert review.project_id is not None
        if not ls_task_ids:
            return
        controls = control_names(await self._client.label_config(review.project_id))
        for start in range(0, len(ls_task_ids), FETCH_TASKS):
            batch = ls_task_ids[start : start + FETCH_TASKS]
            tasks = await self._client.tasks_with_annotations(review.project_id, batch)
            await self._load_user_names(tasks)
            unmatched = await self._store(review, tasks, summary, controls)
            if unmatched:
                await self._adopt(review, review.project_id, unmatched, summary, controls)

    async def _adopt(
        self,
        review: Review,
        project_id: int,
        tasks: Sequence[dict[str, Any]],
        summary: PullSummary,
        controls: Collection[str],
    ) -> None:
        """Match LsTasks that no item names: duplicates of late inserts, or those of a lost database."""
        await remove_duplicates(self._database, self._client, review.id, project_id)
        ids = [int(task["id"]) for task in tasks]
        keys = {ls_task_id: key for key, ls_task_id, _ in await self._client.all_keys(project_id, KEY)}
        async with self._database.writing() as session:
            items = await item_repository.items_by_key(
                session, review.id, [keys[task_id] for task_id in ids if task_id in keys]
            )
            recovered = [
                (items[keys[task_id]].id, task_id)
                for task_id in ids
                if keys.get(task_id) in items and items[keys[task_id]].ls_task_id is None
            ]
            await item_repository.mark_recovered(session, recovered)
        await self._store(review, tasks, summary, controls)

    async def _load_user_names(self, tasks: Sequence[dict[str, Any]]) -> None:
        user_ids = {entry.get("completed_by") for task in tasks for entry in task.get("annotations") or []}
        if any(isinstance(user_id, int) and user_id not in self._user_names for user_id in user_ids):
            self._user_names = await self._client.user_names()

    async def _store(
        self,
        review: Review,
        tasks: Sequence[dict[str, Any]],
        summary: PullSummary,
        controls: Collection[str],
    ) -> list[dict[str, Any]]:
        """Store LsTasks as they are; return those that belong to no item."""
        unmatched = {int(task["id"]): task for task in tasks}
        if not unmatched:
            return []
        async with self._database.writing() as session:
            items = await item_repository.items_of_tasks(session, review.id, list(unmatched))
            rows_by_item: dict[int, list[ReviewedAnnotation]] = {}
            for row in await annotation_repository.annotations_of_items(session, [item.id for item in items]):
                rows_by_item.setdefault(row.item_id, []).append(row)
            for item in items:
                task = unmatched.pop(int(item.ls_task_id or 0))
                annotations = {int(entry["id"]): entry for entry in task.get("annotations") or []}
                summary.ls_tasks += 1
                summary.updated_at[int(task["id"])] = {
                    number: updated_at_of(entry) for number, entry in annotations.items()
                }
                if item.ls_updated_at is not None and task["updated_at"] < item.ls_updated_at:
                    continue
                item.ls_updated_at = task["updated_at"]
                rows = rows_by_item.get(item.id, [])
                if await self._store_annotations(session, review, item, annotations, rows, summary, controls):
                    await session.flush()
                    await settle_image(session, review, item.image_id)
        return list(unmatched.values())

    async def _store_annotations(
        self,
        session: AsyncSession,
        review: Review,
        item: ReviewItem,
        annotations: dict[int, dict[str, Any]],
        rows: Sequence[ReviewedAnnotation],
        summary: PullSummary,
        controls: Collection[str],
    ) -> bool:
        """Bring the rows of an item up to date with its annotations by id; return whether any changed."""
        changed = False
        row_by_id = {row.ls_annotation_id: row for row in rows}
        for number, row in row_by_id.items():
            if number not in annotations and row.state != AnnotationState.DELETED:
                row.state, row.chosen = AnnotationState.DELETED, False
                await correction_repository.replace_corrections(session, review.id, row.id, [])
                summary.deleted += 1
                changed = True
        for number, document in annotations.items():
            stored = row_by_id.get(number)
            if (
                stored is not None
                and stored.state != AnnotationState.DELETED
                and stored.ls_updated_at == updated_at_of(document)
            ):
                continue
            await write_annotation(
                session, review, item, document, self._annotator(document), stored, controls
            )
            summary.created += stored is None
            summary.updated += stored is not None
            changed = True
        return changed

    def _annotator(self, document: dict[str, Any]) -> str:
        user_id = document.get("completed_by")
        return self._user_names.get(user_id or 0, f"user {user_id}")


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
