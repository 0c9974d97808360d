"""Lists of LsTasks, read as raw JSON past label-studio-sdk.

The SDK makes an object of each task and parses its dates, which takes longer than the request and loses the
exact times that cursors compare.
"""

import json
from collections.abc import Sequence
from typing import Any

from services.label_studio.connection import Connection, LabelStudioError, LabelStudioGone

MAX_KEYS = 50
_KEY_FIELDS = "id,data,total_annotations,cancelled_annotations"
_ANNOTATION_FIELDS = (
    "id,updated_at,total_predictions,predictions_model_versions,annotations,result,completed_by,"
    "was_cancelled,ground_truth,lead_time,parent_prediction,parent_annotation"
)


class TaskLists:
    """Reads the LsTasks of projects. Every method raises LabelStudioError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def tasks_by_key(
        self, project_id: int, keys: Sequence[str], field: str
    ) -> list[tuple[str, int, int]]:
        """Return the LsTasks with these keys in `field`: (key, LsTask id, number of annotations).

        At most MAX_KEYS keys, so that the URL stays short enough for every proxy.
        """
        with_keys = _filter(f"data.{field}", "in_list", "String", list(keys))
        tasks = await self._tasks(project_id, _query([with_keys]), _KEY_FIELDS, 2 * len(keys))
        return [_keyed(task, field) for task in tasks]

    async def all_keys(self, project_id: int, field: str, page_size: int = 500) -> list[tuple[str, int, int]]:
        """Return every LsTask of a project: (key in `field`, LsTask id, number of annotations)."""
        keyed: list[tuple[str, int, int]] = []
        last_id = 0
        while True:
            later = _filter("id", "greater", "Number", last_id)
            page = await self._tasks(project_id, _query([later], "tasks:id"), _KEY_FIELDS, page_size)
            keyed += [_keyed(task, field) for task in page]
            if len(page) < page_size:
                return keyed
            last_id = int(page[-1]["id"])

    async def keys_of(self, project_id: int, ids: Sequence[int], field: str) -> dict[int, str]:
        """Return the keys in `field` of the LsTasks of `ids` that exist, by LsTask id."""
        query = {"selectedItems": {"all": False, "included": list(ids)}}
        tasks = await self._tasks(project_id, query, _KEY_FIELDS, len(ids)) if ids else []
        return {ls_task_id: key for key, ls_task_id, _ in (_keyed(task, field) for task in tasks)}

    async def changed_tasks(
        self, project_id: int, since: str | None, counter: str | None, page_size: int, page: int = 1
    ) -> list[dict[str, Any]]:
        """Return LsTasks by rising `updated_at`, at or after `since` (ISO 8601), as `id` and `updated_at`.

        `counter`: only LsTasks whose `total_annotations` or `cancelled_annotations` is above zero.
        """
        filters = []
        if since:
            filters.append(_filter("updated_at", "greater_or_equal", "Datetime", since))
        if counter:
            filters.append(_filter(counter, "greater", "Number", 0))
        query = _query(filters, "tasks:updated_at")
        return await self._tasks(project_id, query, "id,updated_at", page_size, page)

    async def tasks_with_annotations(self, project_id: int, ids: Sequence[int]) -> list[dict[str, Any]]:
        """Return the LsTasks of `ids` that exist, with their whole `annotations`."""
        if not ids:
            return []
        query = {"selectedItems": {"all": False, "included": list(ids)}}
        return await self._tasks(project_id, query, _ANNOTATION_FIELDS, len(ids), fields="all")

    async def _tasks(
        self,
        project_id: int,
        query: dict[str, Any],
        include: str,
        page_size: int,
        page: int = 1,
        fields: str = "task_only",
    ) -> list[dict[str, Any]]:
        parameters = {
            "project": project_id,
            "page": page,
            "page_size": page_size,
            "include": include,
            "fields": fields,
            "query": json.dumps(query),
        }
        try:
            answer = await self._connection.read_json(f"project {project_id}", "/api/tasks", parameters)
        except LabelStudioGone:
            if page > 1:
                return []  # past the last page
            raise
        tasks = answer.get("tasks") if isinstance(answer, dict) else None
        if not isinstance(tasks, list):
            raise LabelStudioError("Label Studio's list of tasks cannot be understood")
        return tasks


def _filter(field: str, operator: str, type_: str, value: Any) -> dict[str, Any]:
    return {"filter": f"filter:tasks:{field}", "operator": operator, "type": type_, "value": value}


def _query(filters: list[dict[str, Any]], ordering: str | None = None) -> dict[str, Any]:
    query: dict[str, Any] = {"ordering": [ordering]} if ordering else {}
    if filters:
        query["filters"] = {"conjunction": "and", "items": filters}
    return query


def _keyed(task: dict[str, Any], field: str) -> tuple[str, int, int]:
    num_annotations = int(task.get("total_annotations") or 0) + int(task.get("cancelled_annotations") or 0)
    return str((task.get("data") or {}).get(field, "")), int(task["id"]), num_annotations
