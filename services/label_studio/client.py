"""Label Studio's API as this project uses it: one small seam over label-studio-sdk.

Reads are tried again, writes never: Label Studio may have taken them, so whoever writes looks by its own key
first. Lists of tasks are read past the SDK, as raw JSON: it makes one of several classes of each task and
parses its dates, which costs more than the request and loses what our cursors compare. Times in seconds.
"""

import json
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx

from services.label_studio.connection import (
    PAUSE_S,
    WRITE_TIMEOUT_S,
    Ask,
    Connection,
    LabelStudioError,
    LabelStudioGone,
    LabelStudioLost,
)

LOOKUP = 50
ML_TIMEOUT_S = 60.0
ACTIONS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED")
_TASK_FIELDS = "id,updated_at,annotations,result,completed_by,was_cancelled,ground_truth,lead_time"


class LabelStudio:
    """A client of one server. Use as an async context manager, or call `close`."""

    def __init__(
        self,
        url: str,
        token: str,
        write_timeout_s: float = WRITE_TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._connection = Connection(url, token, write_timeout_s, transport, pause_s)
        self.url = self._connection.url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def find_project(self, key: str) -> dict[str, Any] | None:
        """The oldest project whose description carries `key` (its id); None where there is none."""
        page, found = 1, []
        while True:
            ids, more = await self._connection.read("list of projects", _projects_with(key, page))
            found += ids
            if not more:
                return {"id": min(found)} if found else None
            page += 1

    async def create_project(self, **fields: Any) -> int:
        """Make a project; its id."""

        async def ask(sdk: Any, options: dict[str, Any]) -> int:
            return int((await sdk.projects.create(**fields, request_options=options)).id)

        return await self._connection.write("project", ask)

    async def update_project(self, project_id: int, **fields: Any) -> None:
        """Change fields of a project."""
        await self._connection.write(
            f"project {project_id}",
            lambda sdk, options: sdk.projects.update(id=project_id, **fields, request_options=options),
        )

    async def label_config(self, project_id: int) -> str:
        """The labelling configuration of a project as it is now. Raises LabelStudioGone."""

        async def ask(sdk: Any, options: dict[str, Any]) -> str:
            return str((await sdk.projects.get(id=project_id, request_options=options)).label_config or "")

        return await self._connection.read(f"project {project_id}", ask)

    async def num_tasks(self, project_id: int) -> int:
        """How many LsTasks a project has. Raises LabelStudioGone."""

        async def ask(sdk: Any, options: dict[str, Any]) -> int:
            return int((await sdk.projects.get(id=project_id, request_options=options)).task_number or 0)

        return await self._connection.read(f"project {project_id}", ask)

    async def import_tasks(self, project_id: int, ls_tasks: Sequence[dict[str, Any]]) -> list[int]:
        """Insert LsTasks in one request; their ids, in order."""
        # The SDK walks through lists step by step, on the loop (0.1 s for a hundred tasks); a deque it gives
        # to pydantic, which makes the same of it ten times as fast.
        tasks = [{**one, "predictions": deque(one["predictions"])} for one in ls_tasks]

        async def ask(sdk: Any, options: dict[str, Any]) -> list[int]:
            answer = await sdk.projects.import_tasks(
                id=project_id, request=tasks, return_task_ids=True, request_options=options
            )
            return [int(one) for one in answer.task_ids or []]

        ids = await self._connection.write(f"project {project_id}", ask)
        if len(ids) != len(ls_tasks):
            raise LabelStudioLost(f"Label Studio took {len(ls_tasks)} tasks and named {len(ids)}")
        return ids

    async def tasks_by_key(
        self, project_id: int, keys: Sequence[str], field: str
    ) -> list[tuple[str, int, int]]:
        """Which of our keys are in a project: (key, LsTask id, number of annotations).

        At most LOOKUP keys, so that the address stays short enough for every proxy.
        """
        wanted = {
            "filter": f"filter:tasks:data.{field}",
            "operator": "in_list",
            "type": "String",
            "value": list(keys),
        }
        query = {"filters": {"conjunction": "and", "items": [wanted]}}
        found = await self._tasks(
            project_id, query, "id,data,total_annotations,cancelled_annotations", 2 * len(keys)
        )
        return [_keyed(one, field) for one in found]

    async def all_keys(self, project_id: int, field: str, page_size: int = 500) -> list[tuple[str, int, int]]:
        """Every LsTask of a project: (our key, id, number of annotations)."""
        found: list[tuple[str, int, int]] = []
        last = 0
        while True:
            newer = {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": last}
            query = {"filters": {"conjunction": "and", "items": [newer]}, "ordering": ["tasks:id"]}
            fields = "id,data,total_annotations,cancelled_annotations"
            page = await self._tasks(project_id, query, fields, page_size)
            found += [_keyed(one, field) for one in page]
            if len(page) < page_size:
                return found
            last = int(page[-1]["id"])

    async def changed_tasks(
        self, project_id: int, since: str | None, only: str | None, page_size: int, page: int = 1
    ) -> list[dict[str, Any]]:
        """LsTasks by rising `updated_at`, at or after `since` (ISO 8601), as `id` and `updated_at`.

        `only`: those with more than none of `total_annotations` or `cancelled_annotations`.
        """
        items: list[dict[str, Any]] = []
        if since:
            name, at_least = "filter:tasks:updated_at", "greater_or_equal"
            items.append({"filter": name, "operator": at_least, "type": "Datetime", "value": since})
        if only:
            items.append(
                {"filter": f"filter:tasks:{only}", "operator": "greater", "type": "Number", "value": 0}
            )
        query: dict[str, Any] = {"ordering": ["tasks:updated_at"]}
        if items:
            query["filters"] = {"conjunction": "and", "items": items}
        return await self._tasks(project_id, query, "id,updated_at", page_size, page)

    async def tasks_with_annotations(self, project_id: int, ids: Sequence[int]) -> list[dict[str, Any]]:
        """The LsTasks of `ids` that are there, as `id`, `updated_at` and whole `annotations`."""
        if not ids:
            return []
        query = {"selectedItems": {"all": False, "included": list(ids)}}
        return await self._tasks(project_id, query, _TASK_FIELDS, len(ids), fields="all")

    async def update_task(self, task_id: int, data: dict[str, Any]) -> None:
        """Change the data of an LsTask. Raises LabelStudioGone, LabelStudioRefused."""
        await self._connection.write(
            f"task {task_id}",
            lambda sdk, options: sdk.tasks.update(id=str(task_id), data=data, request_options=options),
        )

    async def delete_task(self, task_id: int) -> None:
        """Delete an LsTask; one that is gone already is no error."""
        try:
            await self._connection.write(
                f"task {task_id}",
                lambda sdk, options: sdk.tasks.delete(id=str(task_id), request_options=options),
            )
        except LabelStudioGone:
            return

    async def set_webhook(self, project_id: int, url: str, headers: dict[str, str]) -> int:
        """Make the project's webhook to `url`, or bring the one that is there up to date; its id."""
        fields = {
            "url": url,
            "headers": headers,
            "send_payload": True,
            "send_for_all_actions": False,
            "is_active": True,
            "actions": list(ACTIONS),
        }

        async def there(sdk: Any, options: dict[str, Any]) -> list[int]:
            found = await sdk.webhooks.list(project=str(project_id), request_options=options)
            return sorted(int(one.id) for one in found if one.url == url)

        async def make(sdk: Any, options: dict[str, Any]) -> int:
            return int((await sdk.webhooks.create(project=project_id, **fields, request_options=options)).id)

        ours = await self._connection.read("webhooks", there)
        if not ours:
            return await self._connection.write("webhook", make)
        for extra in ours[1:]:
            await self._delete_webhook(extra)
        await self._connection.write(
            "webhook", lambda sdk, options: sdk.webhooks.update(ours[0], **fields, request_options=options)
        )
        return ours[0]

    async def _delete_webhook(self, number: int) -> None:
        await self._connection.write(
            "webhook", lambda sdk, options: sdk.webhooks.delete(number, request_options=options)
        )

    async def set_ml_backend(self, project_id: int, url: str, user: str, password: str, title: str) -> int:
        """Make `url` the project's interactive ML backend, or bring it up to date; its id.

        Label Studio asks the backend before it answers. Raises LabelStudioRefused where that fails.
        """
        fields = {
            "title": title,
            "is_interactive": True,
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": user,
            "basic_auth_pass": password,
            "timeout": ML_TIMEOUT_S,
        }

        async def put(sdk: Any, options: dict[str, Any]) -> int:
            values = {"url": url, "project": project_id, **fields, "request_options": options}
            one = await (sdk.ml.update(ours[0], **values) if ours else sdk.ml.create(**values))
            return int(one.id)

        ours = await self.ml_backends(project_id, url)
        return await self._connection.write("ML backend", put)

    async def ml_backends(self, project_id: int, url: str) -> list[int]:
        """The ids of the project's ML backends at `url`, the oldest first."""

        async def ask(sdk: Any, options: dict[str, Any]) -> list[int]:
            found = await sdk.ml.list(project=project_id, request_options=options)
            return sorted(int(one.id) for one in found if one.url == url)

        return await self._connection.read("ML backends", ask)

    async def delete_ml_backend(self, number: int) -> None:
        """Take an ML backend from its project."""
        await self._connection.write(
            "ML backend", lambda sdk, options: sdk.ml.delete(number, request_options=options)
        )

    async def people(self) -> dict[int, str]:
        """The names of users by id: their email, else their user name."""

        async def ask(sdk: Any, options: dict[str, Any]) -> dict[int, str]:
            users = [one.__dict__ for one in await sdk.users.list(request_options=options)]
            return {
                int(one["id"]): one.get("email") or one.get("username") or f"user {one['id']}"
                for one in users
            }

        return await self._connection.read("users", ask)

    async def clock(self) -> datetime:
        """The time of Label Studio's own clock, to the second."""

        async def ask(sdk: Any, options: dict[str, Any]) -> str | None:
            answer = await sdk.versions.with_raw_response.get(request_options=options)
            date: str | None = answer.headers.get("date")
            return date

        date = await self._connection.read("version", ask)
        return parsedate_to_datetime(date).astimezone(UTC) if date else datetime.now(UTC)

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
        }
        try:
            what = f"project {project_id}"
            answer = await self._connection.read_json(
                what, "/api/tasks", {**parameters, "query": json.dumps(query)}
            )
        except LabelStudioGone:
            if page > 1:
                return []  # past the last page
            raise
        tasks = answer.get("tasks") if isinstance(answer, dict) else None
        if not isinstance(tasks, list):
            raise LabelStudioError("Label Studio's list of tasks cannot be understood")
        return tasks


def _projects_with(key: str, page: int) -> Ask[tuple[list[int], bool]]:
    """The ids on a page of projects whose description carries `key`, and whether there are more pages."""

    async def ask(sdk: Any, options: dict[str, Any]) -> tuple[list[int], bool]:
        # A page at a time: the SDK's pager goes on until Label Studio answers 404.
        found = await sdk.projects.list(
            page=page, page_size=100, include="id,description", request_options=options
        )
        listed = [one.__dict__ for one in found.items or []]
        ids = [int(one["id"]) for one in listed if key in (one.get("description") or "")]
        return ids, bool(found.response.next)

    return ask


def _keyed(one: dict[str, Any], field: str) -> tuple[str, int, int]:
    number = int(one.get("total_annotations") or 0) + int(one.get("cancelled_annotations") or 0)
    return str((one.get("data") or {}).get(field, "")), int(one["id"]), number
