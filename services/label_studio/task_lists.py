"""Lists of LsTasks, read as raw JSON past label-studio-sdk.

The SDK makes an object of each task and parses its dates, which takes longer than the request and loses the
exact times that cursors compare.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.label_studio.connection import Connection, LabelStudioError, LabelStudioGone

# Of an LsTask's data: the key of its item, and the request that inserted it.
KEY, REQUEST = "fo1_key", "fo1_request"
MAX_KEYS = 50
PAGE = 500
_KEY_FIELDS = "id,data,total_annotations,cancelled_annotations,total_predictions"
_ANNOTATION_FIELDS = (
    "id,updated_at,total_predictions,predictions_model_versions,annotations,result,completed_by,"
    "was_cancelled,ground_truth,lead_time,parent_prediction,parent_annotation,draft_exists"
)


@dataclass(frozen=True)
class KeyedTask:
    """An LsTask with its data, and its numbers of annotations (skipped ones included) and predictions."""

    ls_task_id: int
    data: dict[str, Any]
    num_annotations: int
    num_predictions: int

    @property
    def key(self) -> str:
        """The key of its item; empty if it has none."""
        return str(self.data.get(KEY, ""))

    @property
    def request(self) -> str:
        """The request that inserted it, or the LsTask that it is a copy of; empty for older reviews."""
        return str(self.data.get(REQUEST, ""))


class TaskLists:
    """Reads the LsTasks of projects. Every method raises LabelStudioError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def tasks_by_key(self, project_id: int, keys: Sequence[str]) -> list[KeyedTask]:
        """Return the LsTasks with these keys, oldest first.

        At most MAX_KEYS keys, so that the URL stays short enough for every proxy.
        """
        return await self._keyed(project_id, [_filter(f"data.{KEY}", "in_list", "String", list(keys))])

    async def all_tasks(self, project_id: int) -> list[KeyedTask]:
        """Return every LsTask of a project, oldest first."""
        return await self._keyed(project_id, [])

    async def _keyed(self, project_id: int, filters: list[dict[str, Any]]) -> list[KeyedTask]:
        keyed: list[KeyedTask] = []
        while True:
            later = _filter("id", "greater", "Number", keyed[-1].ls_task_id if keyed else 0)
            query = _query([*filters, later], "tasks:id")
            page = await self._tasks(project_id, query, _KEY_FIELDS, PAGE)
            keyed += map(_keyed_task, page)
            if len(page) < PAGE:
                return keyed

    async def tasks_of(self, project_id: int, ids: Sequence[int]) -> list[KeyedTask]:
        """Return the LsTasks of `ids` that exist."""
        query = {"selectedItems": {"all": False, "included": list(ids)}}
        tasks = await self._tasks(project_id, query, _KEY_FIELDS, len(ids)) if ids else []
        return [_keyed_task(task) for task in tasks]

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
        """Return the LsTasks of `ids` that exist, with their whole `annotations` and `draft_exists`."""
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


def _keyed_task(task: dict[str, Any]) -> KeyedTask:
    return KeyedTask(
        ls_task_id=int(task["id"]),
        data=task.get("data") or {},
        num_annotations=int(task.get("total_annotations") or 0) + int(task.get("cancelled_annotations") or 0),
        num_predictions=int(task.get("total_predictions") or 0),
    )
