"""Removes LsTasks that our own push inserted twice, which an insert with a lost answer can leave behind.

Every insert request has a name of its own in the data of its LsTasks. Two LsTasks of one item with different
requests are two inserts of ours. Of several with the same request the oldest is ours; the others are copies
that somebody imported, and stay.
"""

from collections.abc import Iterable, Sequence

from schemas.reviews import ItemState
from services.database.engine import Database
from services.database.review_tables import Review
from services.label_studio.client import LabelStudio
from services.label_studio.task_lists import MAX_KEYS, KeyedTask
from services.review import item_repository


async def remove_duplicates(
    database: Database, client: LabelStudio, review: Review, project_id: int, tasks: Sequence[KeyedTask]
) -> None:
    """Delete the surplus inserts of each item among `tasks`, which are all LsTasks of their keys.

    The LsTask with annotations stays, else the oldest. Others stay too if somebody has annotated them or has
    a draft in them.
    """
    surplus = []
    for key, inserts in _inserts_by_key(tasks).items():
        kept = min(inserts, key=lambda task: (task.num_annotations == 0, task.ls_task_id))
        async with database.writing() as session:
            item = (await item_repository.items_by_key(session, review.id, [key])).get(key)
            if item is None or item.state == ItemState.GONE:
                continue
            if (item.state, item.ls_task_id) != (ItemState.SENT, kept.ls_task_id):
                await item_repository.mark_recovered(session, [(item.id, kept.ls_task_id)])
        surplus += [task.ls_task_id for task in inserts if task is not kept]
    for start in range(0, len(surplus), MAX_KEYS):
        batch = surplus[start : start + MAX_KEYS]
        for document in await client.tasks_with_annotations(project_id, batch):
            if not document.get("annotations") and not document.get("draft_exists"):
                await client.delete_task(int(document["id"]))


def _inserts_by_key(tasks: Iterable[KeyedTask]) -> dict[str, list[KeyedTask]]:
    """Return our inserts of the items that were inserted more than once, oldest first."""
    by_key: dict[str, dict[str, KeyedTask]] = {}
    for task in sorted(tasks, key=lambda task: task.ls_task_id):
        if task.key:
            by_key.setdefault(task.key, {}).setdefault(task.request, task)
    return {key: list(inserts.values()) for key, inserts in by_key.items() if len(inserts) > 1}
