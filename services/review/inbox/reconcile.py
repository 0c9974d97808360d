"""Finds what a list of LsTasks by `updated_at` does not show, by counting.

Label Studio moves annotations between LsTasks ("Delete duplicate tasks"), imports LsTasks again, and makes
transactions visible late, all without a newer `updated_at`. If the project has other numbers of LsTasks and
annotations than are stored here, every LsTask whose number differs is read again.
"""

from collections.abc import Sequence

from schemas.reviews import ReviewState
from services.database.engine import Database
from services.database.review_tables import Review
from services.label_studio.client import LabelStudio
from services.label_studio.task_lists import KeyedTask
from services.review import annotation_repository, item_repository, repository


async def differing_tasks(
    database: Database, client: LabelStudio, review: Review, project_id: int
) -> list[int]:
    """Return the LsTasks whose number of annotations is not the stored one. Raises LabelStudioError.

    Also marks the items whose LsTasks were deleted. Costs one request as long as the counts agree.
    """
    counts = await client.project_counts(project_id)
    async with database.reading() as session:
        num_sent = await item_repository.count_sent(session, review.id)
        stored = await annotation_repository.count_by_task(session, review.id)
    unowned = [counts.num_tasks - num_sent, counts.num_annotations - sum(stored.values())]
    is_growing = review.state != ReviewState.OPEN and unowned[0] >= 0 and unowned[1] == 0
    if is_growing or unowned == (review.unowned or [0, 0]):
        return []
    tasks = await client.all_tasks(project_id)
    owned = await _follow_copies(database, review, tasks)
    async with database.writing() as session:
        num_sent = await item_repository.count_sent(session, review.id)
        foreign = sum(task.num_annotations for task in tasks if task.ls_task_id not in owned)
        await repository.set_review(session, review.id, unowned=[len(tasks) - num_sent, foreign])
    return [
        task.ls_task_id
        for task in tasks
        if task.ls_task_id in owned and stored.get(task.ls_task_id, 0) != task.num_annotations
    ]


async def _follow_copies(database: Database, review: Review, tasks: Sequence[KeyedTask]) -> set[int]:
    """Return the LsTasks of the review's items, copies included.

    An item whose LsTask was deleted takes another one with its key; if there is none, it is gone.
    """
    ids_by_key: dict[str, list[int]] = {}
    for task in tasks:
        ids_by_key.setdefault(task.key, []).append(task.ls_task_id)
    owned: set[int] = set()
    gone = []
    async with database.writing() as session:
        for item_id, key, ls_task_id in await item_repository.keyed_tasks(session, review.id):
            copies = ids_by_key.get(key, [])
            owned.update(copies)
            if not copies:
                gone.append(ls_task_id)
            elif ls_task_id not in copies:
                await item_repository.mark_recovered(session, [(item_id, copies[0])])
        await item_repository.mark_gone(session, review.id, gone)
    return owned
