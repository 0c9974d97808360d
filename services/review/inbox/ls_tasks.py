"""Stores LsTasks as they are now: each of their annotations once, in its latest state.

An item has one LsTask of its own; copies of it (imported again, or left by a late insert) are other LsTasks
with the same key, and their annotations are the item's too. Annotations that "Delete duplicate tasks" moves
from one to the other keep their ids.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.reviews import AnnotationState
from services.database.engine import Database
from services.database.review_tables import Review, ReviewedAnnotation, ReviewItem
from services.label_studio.fields import ProjectFields
from services.review import annotation_repository, correction_repository, item_repository
from services.review.honeypots.standing import held_annotators
from services.review.inbox.annotations import updated_at_of, write_annotation
from services.review.inbox.belief import Origin
from services.review.inbox.resolution import settle_alone, settle_held, settle_part

LsTask = dict[str, Any]


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


@dataclass(frozen=True)
class LsTaskStore:
    """Stores LsTasks of one review. `annotator_of`: the annotator's name by the annotation's document."""

    database: Database
    review: Review
    fields: ProjectFields
    annotator_of: Callable[[Mapping[str, Any], ReviewedAnnotation | None], str]

    async def store(
        self, tasks: Sequence[LsTask], summary: PullSummary, copies: Mapping[int, int] | None = None
    ) -> list[LsTask]:
        """Store LsTasks; return those that belong to no item. `copies`: item ids of copies, by LsTask id."""
        copies = copies or {}
        numbers = [int(task["id"]) for task in tasks]
        unmatched = []
        async with self.database.writing() as session:
            await settle_alone(session, self.review)
            items = await item_repository.items_of_tasks(
                session, self.review.id, numbers, list(copies.values())
            )
            by_task = {item.ls_task_id: item for item in items}
            by_id = {item.id: item for item in items}
            rows = await annotation_repository.annotations_of_items(session, list(by_id))
            held_before = await held_annotators(session, self.review)
            for number, task in zip(numbers, tasks, strict=True):
                item = by_task.get(number) or by_id.get(copies.get(number, 0))
                if item is None:
                    unmatched.append(task)
                elif self._is_news(item, task, summary):
                    of_item = [row for row in rows if row.item_id == item.id]
                    if await self._store_annotations(session, item, task, of_item, summary):
                        await session.flush()
                        await settle_part(session, self.review, item.image_id, item.part)
            await settle_held(session, self.review, held_before)
        return unmatched

    def _is_news(self, item: ReviewItem, task: LsTask, summary: PullSummary) -> bool:
        """Count an LsTask; return whether its state is not older than the stored one."""
        summary.ls_tasks += 1
        summary.updated_at[int(task["id"])] = {
            int(entry["id"]): updated_at_of(entry) for entry in task.get("annotations") or []
        }
        if int(task["id"]) != item.ls_task_id:
            return True
        if item.ls_updated_at is not None and task["updated_at"] < item.ls_updated_at:
            return False
        item.ls_updated_at = task["updated_at"]
        return True

    async def _store_annotations(
        self,
        session: AsyncSession,
        item: ReviewItem,
        task: LsTask,
        rows: Sequence[ReviewedAnnotation],
        summary: PullSummary,
    ) -> bool:
        """Bring the rows of an item up to date with an LsTask of it; return whether any changed."""
        documents = {int(entry["id"]): entry for entry in task.get("annotations") or []}
        changed = False
        row_by_id = {row.ls_annotation_id: row for row in rows}
        for number, row in row_by_id.items():
            is_of_task = (row.ls_task_id or item.ls_task_id) == int(task["id"])
            if number not in documents and is_of_task and row.state != AnnotationState.DELETED:
                row.state, row.chosen = AnnotationState.DELETED, False
                await correction_repository.replace_corrections(session, self.review.id, row.id, [])
                summary.deleted += 1
                changed = True
        for number, document in documents.items():
            stored = row_by_id.get(number)
            if stored is not None and _is_up_to_date(stored, document):
                stored.ls_task_id = int(task["id"])
                continue
            origin = Origin(
                self.fields,
                from_prediction=_is_from_prediction(document, task, self.review.model_version),
                from_copy=document.get("parent_annotation") is not None,
            )
            annotator = self.annotator_of(document, stored)
            document = {**document, "task": task["id"]}
            await write_annotation(session, self.review, item, document, annotator, stored, origin)
            summary.created += stored is None
            summary.updated += stored is not None
            changed = True
        return changed


def _is_up_to_date(row: ReviewedAnnotation, document: Mapping[str, Any]) -> bool:
    return row.state != AnnotationState.DELETED and row.ls_updated_at >= updated_at_of(document)


def _is_from_prediction(document: Mapping[str, Any], task: LsTask, model_version: str) -> bool:
    """Return whether an annotation began with the pushed prediction.

    In an LsTask with other predictions beside it, or in its place, Label Studio does not say with which.
    """
    is_only = task.get("total_predictions") == 1 and task.get("predictions_model_versions") == model_version
    return document.get("parent_prediction") is not None and is_only
