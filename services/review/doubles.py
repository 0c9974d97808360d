"""TODO-DOC."""

from services.database.engine import Database
from services.database.review_states import ItemState
from services.label_studio.client import LabelStudio
from services.label_studio.convert import KEY
from services.review import item_repository


async def remove_doubles(database: Database, client: LabelStudio, review_id: str, project_id: int) -> int:
    """Delete LsTasks that stand for an item a second time; how many.

    The one with annotations stays, else the older one; a double that people have annotated too stays.
    """
    by_key: dict[str, list[tuple[int, int]]] = {}
    for key, task, annotations in await client.all_keys(project_id, KEY):
        by_key.setdefault(key, []).append((task, annotations))
    removed = 0
    for key, tasks in by_key.items():
        if len(tasks) < 2 or not key:
            continue
        kept = min(tasks, key=lambda one: (one[1] == 0, one[0]))
        async with database.writing() as session:
            item = (await item_repository.items_of_keys(session, review_id, [key])).get(key)
            known = item is not None and (item.state, item.ls_task_id) == (ItemState.SENT, kept[0])
            if item is not None and item.state != ItemState.GONE and not known:
                await item_repository.mark_found(session, [(item.id, kept[0])])
        for task, annotations in tasks:
            if task != kept[0] and not annotations:
                await client.delete_task(task)
                removed += 1
    return removed
