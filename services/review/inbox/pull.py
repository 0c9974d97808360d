"""Reads annotations from Label Studio: each once, in its latest state.

Two ways lead here and may overlap: `pull_changes` reads everything that changed since the last pull (an
LsTask's `updated_at` moves when an annotation is created, updated or deleted), and what counting finds beside
it; `pull_tasks` reads the LsTasks named by webhooks. Both fetch LsTasks as they are now and store that; a
webhook's own content is never used. An LsTask whose later state is already stored is skipped. One annotation
that is set aside does not stop the others. Times of Label Studio's clock are its own ISO 8601 texts, which
compare as text.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from services.database.engine import Database
from services.database.models import utc_now
from services.database.review_tables import Review, ReviewedAnnotation
from services.label_studio.client import LabelStudio
from services.label_studio.fields import ProjectFields, parse_fields
from services.label_studio.task_lists import MAX_KEYS
from services.review import annotation_repository, item_repository, repository
from services.review.duplicates import remove_duplicates
from services.review.inbox.annotations import user_id_of
from services.review.inbox.ls_tasks import LsTask, LsTaskStore, PullSummary
from services.review.inbox.reconcile import differing_tasks

LIST_PAGE = 500
FETCH_TASKS = MAX_KEYS
# A transaction of Label Studio may become visible this much later than the time it carries.
MAX_DELAY_S = 60.0


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
        differing = await differing_tasks(self._database, self._client, review, review.project_id)
        await self._fetch(review, differing, summary)
        await self._clear_suspects(review, review.project_id)
        # Everything with an earlier time than this was visible when the pull began.
        until = max(_iso(clock - timedelta(seconds=MAX_DELAY_S)), review.pulled_until or "")
        async with self._database.writing() as session:
            await repository.set_review(session, review.id, pulled_until=until, pulled_at=utc_now())
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

    async def _fetch(self, review: Review, ls_task_ids: Sequence[int], summary: PullSummary) -> None:
        if not ls_task_ids or review.project_id is None:
            return
        fields = await self._fields(review, review.project_id)
        store = LsTaskStore(self._database, review, fields, self._annotator)
        for start in range(0, len(ls_task_ids), FETCH_TASKS):
            batch = ls_task_ids[start : start + FETCH_TASKS]
            tasks = await self._client.tasks_with_annotations(review.project_id, batch)
            await self._load_user_names(review, tasks)
            unmatched = await store.store(tasks, summary)
            if unmatched:
                copies = await self._adopt(review, review.project_id, unmatched)
                await store.store(unmatched, summary, copies)

    async def _adopt(self, review: Review, project_id: int, tasks: Sequence[LsTask]) -> dict[int, int]:
        """Match LsTasks that no item names: copies, late inserts, those of a lost database.

        Returns item ids by LsTask id.
        """
        keyed = await self._client.tasks_of(project_id, [int(task["id"]) for task in tasks])
        async with self._database.writing() as session:
            items = await item_repository.items_by_key(session, review.id, [task.key for task in keyed])
            lost = [
                (items[task.key].id, task.ls_task_id)
                for task in keyed
                if task.key in items and items[task.key].ls_task_id is None
            ]
            await item_repository.mark_recovered(session, lost)
        if items:
            copies = await self._client.tasks_by_key(project_id, list(items))
            await remove_duplicates(self._database, self._client, review, project_id, copies)
        return {task.ls_task_id: items[task.key].id for task in keyed if task.key in items}

    async def _fields(self, review: Review, project_id: int) -> ProjectFields:
        """Return the fields of the project, and remember those that are not as they were pushed."""
        fields = ProjectFields(
            parse_fields(await self._client.label_config(project_id)),
            None if review.label_config is None else parse_fields(review.label_config),
            frozenset(review.changed_fields or ()),
        )
        suspect = fields.suspect | fields.changed()
        if suspect != fields.suspect:
            review.changed_fields = sorted(suspect)
            async with self._database.writing() as session:
                await repository.set_review(session, review.id, changed_fields=review.changed_fields)
        return fields

    async def _clear_suspects(self, review: Review, project_id: int) -> None:
        """After a whole pull, fields that are again as they were pushed are no longer suspect."""
        if review.changed_fields:
            still = (await self._fields(review, project_id)).changed()
            async with self._database.writing() as session:
                await repository.set_review(session, review.id, changed_fields=sorted(still) or None)

    async def _load_user_names(self, review: Review, tasks: Sequence[LsTask]) -> None:
        """Load the names of annotators; one whose account is gone keeps the name it had."""
        user_ids = {user_id_of(entry) for task in tasks for entry in task.get("annotations") or []}
        if any(user_id is not None and user_id not in self._user_names for user_id in user_ids):
            async with self._database.reading() as session:
                earlier = await annotation_repository.annotator_names(session, review.label_studio_url)
            self._user_names = {**earlier, **await self._client.user_names()}

    def _annotator(self, document: Mapping[str, Any], row: ReviewedAnnotation | None) -> str:
        user_id = user_id_of(document)
        if user_id is None:
            return row.annotator if row is not None else f"deleted account (annotation {document['id']})"
        return self._user_names.get(user_id, f"user {user_id}")


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
