"""The Label Studio project of a review: found by the review's key or created, configured, connected.

A project that exists although the database does not know it (the database was lost) is adopted: the items
it already holds are recorded as sent.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from schemas.labels import LabelKind
from schemas.reviews import ItemState
from services.database.engine import Database
from services.database.models import utc_now
from services.database.review_tables import Review
from services.label_studio.client import LabelStudio
from services.label_studio.labelling_config import (
    FIELDS,
    INSTRUCTION,
    TEXT_FIELDS,
    label_config,
    live_config,
    with_fields,
)
from services.label_studio.shown import fields_of, unpack
from services.label_studio.video_config import INSTRUCTION as VIDEO_INSTRUCTION
from services.label_studio.video_config import video_config, with_video_fields
from services.review import item_repository, repository
from services.review.item_repository import ITEMS_PER_STATEMENT

SECRET_HEADER, REVIEW_HEADER = "X-Fo1-Secret", "X-Fo1-Review"


async def set_up_project(
    database: Database, client: LabelStudio, review: Review, webhook: tuple[str, str] | None
) -> dict[str, Any]:
    """Find or create the project with its webhook; return its ids and fields as columns of the review.

    `webhook`: address and secret, or None to register no webhook. Raises LabelStudioError.
    """
    marker = f"fo1-review:{review.key}"
    fields_of_review = await _fields(database, review)
    config = video_config(fields_of_review) if review.options.tracks else label_config(fields_of_review)
    fields: dict[str, Any] = {
        "label_config": live_config(config) if review.options.live else config,
        "expert_instruction": VIDEO_INSTRUCTION if review.options.tracks else INSTRUCTION,
        "show_instruction": False,
        "show_collab_predictions": True,
        "sampling": "Sequential sampling",
        "maximum_annotations": review.options.annotators,
    }
    project_id = await client.find_project(marker)
    if project_id is None:
        description = f"Made by fo1-data of {review.dataset}. {marker}"
        project_id = await client.create_project(title=review.title[:50], description=description, **fields)
    else:
        await client.update_project(project_id, **fields)
        async with database.writing() as session:
            await repository.set_review(session, review.id, doubtful=True, pusher_seen_at=utc_now())
        await _adopt_items(database, client, review, project_id)
    webhook_id = None
    if webhook is not None:
        url, secret = webhook
        headers = {SECRET_HEADER: secret, REVIEW_HEADER: review.id}
        webhook_id = await client.set_webhook(project_id, url, headers)
    return {
        "project_id": project_id,
        "webhook_id": webhook_id,
        "label_config": fields["label_config"],
        "changed_fields": None,
    }


async def add_missing_fields(
    database: Database, client: LabelStudio, review: Review, project_id: int
) -> None:
    """Add the fields that new items need and the project lacks; everything else stays."""
    config = await client.label_config(project_id)
    fields = await _fields(database, review, ItemState.WAITING)
    add = with_video_fields if review.options.tracks else with_fields
    complete = add(config, fields)
    if complete != config:
        await client.update_project(project_id, label_config=complete)
    if review.label_config is not None:
        pushed = add(review.label_config, fields)
        async with database.writing() as session:
            await repository.set_review(session, review.id, label_config=pushed)


async def _fields(database: Database, review: Review, state: ItemState | None = None) -> set[str]:
    """Return the names of the fields that the items of a review need. `state`: of the items in it."""
    fields: set[str] = {TEXT_FIELDS[LabelKind.BRIEF_CAPTION]} if review.options.live else set()
    last_id = 0
    while fields != FIELDS:
        async with database.reading() as session:
            batch = await item_repository.shown_after(session, review.id, last_id, state)
        if not batch:
            break
        last_id = batch[-1][0]
        fields |= await asyncio.to_thread(_fields_in, [shown for _, shown in batch])
    return fields


def _fields_in(batch: Sequence[bytes]) -> set[str]:
    return {field for packed in batch for field in fields_of(unpack(packed))}


async def _adopt_items(database: Database, client: LabelStudio, review: Review, project_id: int) -> None:
    """Record the unsent items that the project already holds; of duplicates the oldest LsTask."""
    tasks = await client.all_tasks(project_id)
    task_by_key = {task.key: task.ls_task_id for task in reversed(tasks)}
    keys = list(task_by_key)
    for start in range(0, len(keys), ITEMS_PER_STATEMENT):
        batch = keys[start : start + ITEMS_PER_STATEMENT]
        async with database.writing() as session:
            items = await item_repository.items_by_key(session, review.id, batch)
            recovered = [
                (item.id, task_by_key[key])
                for key, item in items.items()
                if item.state in (ItemState.WAITING, ItemState.SENDING)
            ]
            await item_repository.mark_recovered(session, recovered)
