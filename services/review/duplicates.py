"""Remove LsTasks that stand for the same item twice, which an insert with a lost answer can leave behind."""

from schemas.reviews import ItemState
from services.database.engine import Database
from services.label_studio.client import LabelStudio
from services.label_studio.convert import KEY
from services.review import item_repository


async def remove_duplicates(database: Database, client: LabelStudio, review_id: str, project_id: int) -> int:
    """Delete the surplus LsTasks of each item; return how many.

    The LsTask with annotations stays, else the oldest. A duplicate that people have annotated stays too.
    """
    tasks_by_key: dict[str, list[tuple[int, int]]] = {}
    for key, ls_task_id, num_annotations in await client.all_keys(project_id, KEY):
        tasks_by_key.setdefault(key, []).append((ls_task_id, num_annotations))
    num_removed = 0
    for key, tasks in tasks_by_key.items():
        if len(tasks) < 2 or not key:
            continue
        kept_id = min(tasks, key=lambda task: (task[1] == 0, task[0]))[0]
        async with database.writing() as session:
            item = (await item_repository.items_by_key(session, review_id, [key])).get(key)
            if (
                item is not None
                and item.state != ItemState.GONE
                and (item.state, item.ls_task_id) != (ItemState.SENT, kept_id)
            ):
                await item_repository.mark_recovered(session, [(item.id, kept_id)])
        for ls_task_id, num_annotations in tasks:
            if ls_task_id != kept_id and not num_annotations:
                await client.delete_task(ls_task_id)
                num_removed += 1
    return num_removed
