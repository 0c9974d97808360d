"""Label Studio's API as this project uses it, over label-studio-sdk.

Reads are tried again, writes never: Label Studio may have accepted a write whose answer is lost, so whoever
writes looks for the result by its own key first. Times in seconds.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx

from services.label_studio.connection import (
    PAUSE_S,
    WRITE_TIMEOUT_S,
    Answer,
    Connection,
    LabelStudioGone,
    LabelStudioLost,
    LabelStudioRefused,
    Request,
)
from services.label_studio.task_lists import TaskLists

ML_TIMEOUT_S = 60.0
WEBHOOK_ACTIONS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED")


@dataclass(frozen=True)
class ProjectCounts:
    """How many LsTasks and annotations, skipped ones included, a project has."""

    num_tasks: int
    num_annotations: int


class LabelStudio(TaskLists):
    """A client of one server. Use as an async context manager, or call `close`."""

    def __init__(
        self,
        url: str,
        token: str,
        write_timeout_s: float = WRITE_TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
        pause_s: float = PAUSE_S,
    ) -> None:
        super().__init__(Connection(url, token, write_timeout_s, transport, pause_s))
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

    async def find_project(self, marker: str) -> int | None:
        """Return the id of the oldest project whose description contains `marker`, or None."""
        page, ids = 1, []
        while True:
            ids_of_page, more = await self._connection.read("list of projects", _projects_with(marker, page))
            ids += ids_of_page
            if not more:
                return min(ids, default=None)
            page += 1

    async def create_project(self, **fields: Any) -> int:
        """Create a project; return its id."""

        async def create(sdk: Any, options: dict[str, Any]) -> int:
            return int((await sdk.projects.create(**fields, request_options=options)).id)

        return await self._connection.write("project", create)

    async def update_project(self, project_id: int, **fields: Any) -> None:
        """Change fields of a project."""
        await self._connection.write(
            f"project {project_id}",
            lambda sdk, options: sdk.projects.update(id=project_id, **fields, request_options=options),
        )

    async def label_config(self, project_id: int) -> str:
        """Return the current labelling configuration of a project. Raises LabelStudioGone."""
        return await self._read_project(project_id, lambda project: str(project.label_config or ""))

    async def project_counts(self, project_id: int) -> ProjectCounts:
        """Return how many LsTasks and annotations a project has. Raises LabelStudioGone."""
        return await self._read_project(
            project_id,
            lambda project: ProjectCounts(
                num_tasks=int(project.task_number or 0),
                num_annotations=int(project.total_annotations_number or 0)
                + int(project.skipped_annotations_number or 0),
            ),
        )

    async def _read_project(self, project_id: int, value_of: Callable[[Any], Answer]) -> Answer:
        # `value_of` runs inside the request, which turns its errors into LabelStudioError.
        async def read(sdk: Any, options: dict[str, Any]) -> Answer:
            return value_of(await sdk.projects.get(id=project_id, request_options=options))

        return await self._connection.read(f"project {project_id}", read)

    async def import_tasks(self, project_id: int, ls_tasks: Sequence[dict[str, Any]]) -> list[int]:
        """Insert LsTasks in one request; return their ids, in order."""
        # The SDK converts lists element by element, on the event loop (0.1 s for a hundred tasks). It gives
        # a deque to pydantic, which does the same ten times as fast.
        tasks = [{**task, "predictions": deque(task["predictions"])} for task in ls_tasks]

        async def insert(sdk: Any, options: dict[str, Any]) -> tuple[list[int], int | None]:
            answer = await sdk.projects.import_tasks(
                id=project_id, request=tasks, return_task_ids=True, request_options=options
            )
            ids = [int(task_id) for task_id in answer.task_ids or []]
            return ids, getattr(answer, "prediction_count", None)

        ids, num_predictions = await self._connection.write(f"project {project_id}", insert)
        if len(ids) != len(ls_tasks):
            raise LabelStudioLost(f"Label Studio accepted {len(ls_tasks)} tasks and returned {len(ids)} ids")
        if num_predictions == 0 and any(task["predictions"] for task in ls_tasks):
            # On SQLite, Label Studio 1.23 repeats an import that found its database locked, and by then has
            # taken the predictions out of the tasks: it creates the tasks alone and answers 201.
            try:
                await self.import_predictions(project_id, ids, ls_tasks)
            except LabelStudioRefused as error:  # the tasks are there: nobody must insert them again
                raise LabelStudioLost(f"Label Studio took tasks without their predictions: {error}") from None
        return ids

    async def import_predictions(
        self, project_id: int, ids: Sequence[int], ls_tasks: Sequence[dict[str, Any]]
    ) -> None:
        """Insert the predictions of LsTasks (`ids`, in the order of `ls_tasks`) that exist without them."""
        predictions = [
            {"task": task_id, **prediction}
            for task_id, task in zip(ids, ls_tasks, strict=True)
            for prediction in task["predictions"]
        ]
        # Tried again like a read: a prediction that is there twice does no harm, one that is missing does.
        await self._connection.read(
            f"project {project_id}",
            lambda sdk, options: sdk.projects.import_predictions(
                id=project_id, request=predictions, request_options=options
            ),
        )

    async def update_task(self, task_id: int, data: dict[str, Any]) -> None:
        """Change the data of an LsTask. Raises LabelStudioGone, LabelStudioRefused."""
        await self._connection.write(
            f"task {task_id}",
            lambda sdk, options: sdk.tasks.update(id=str(task_id), data=data, request_options=options),
        )

    async def delete_task(self, task_id: int) -> None:
        """Delete an LsTask. It is no error if it no longer exists."""
        try:
            await self._connection.write(
                f"task {task_id}",
                lambda sdk, options: sdk.tasks.delete(id=str(task_id), request_options=options),
            )
        except LabelStudioGone:
            return

    async def set_webhook(self, project_id: int, url: str, headers: dict[str, str]) -> int:
        """Create the project's webhook to `url`, or update the existing one; return its id."""
        fields = {
            "url": url,
            "headers": headers,
            "send_payload": True,
            "send_for_all_actions": False,
            "is_active": True,
            "actions": list(WEBHOOK_ACTIONS),
        }

        async def find(sdk: Any, options: dict[str, Any]) -> list[int]:
            webhooks = await sdk.webhooks.list(project=str(project_id), request_options=options)
            return sorted(int(webhook.id) for webhook in webhooks if webhook.url == url)

        async def create(sdk: Any, options: dict[str, Any]) -> int:
            return int((await sdk.webhooks.create(project=project_id, **fields, request_options=options)).id)

        ids = await self._connection.read("webhooks", find)
        if not ids:
            return await self._connection.write("webhook", create)
        for surplus in ids[1:]:
            await self._delete_webhook(surplus)
        await self._connection.write(
            "webhook", lambda sdk, options: sdk.webhooks.update(ids[0], **fields, request_options=options)
        )
        return ids[0]

    async def _delete_webhook(self, webhook_id: int) -> None:
        await self._connection.write(
            "webhook", lambda sdk, options: sdk.webhooks.delete(webhook_id, request_options=options)
        )

    async def set_ml_backend(self, project_id: int, url: str, user: str, password: str, title: str) -> int:
        """Make `url` the project's interactive ML backend, or update it; return its id.

        Label Studio calls the backend before it answers. Raises LabelStudioRefused if that call fails.
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
            backend = await (sdk.ml.update(ids[0], **values) if ids else sdk.ml.create(**values))
            return int(backend.id)

        ids = await self.ml_backends(project_id, url)
        return await self._connection.write("ML backend", put)

    async def ml_backends(self, project_id: int, url: str) -> list[int]:
        """Return the ids of the project's ML backends at `url`, oldest first."""

        async def find(sdk: Any, options: dict[str, Any]) -> list[int]:
            backends = await sdk.ml.list(project=project_id, request_options=options)
            return sorted(int(backend.id) for backend in backends if backend.url == url)

        return await self._connection.read("ML backends", find)

    async def delete_ml_backend(self, backend_id: int) -> None:
        """Remove an ML backend from its project."""
        await self._connection.write(
            "ML backend", lambda sdk, options: sdk.ml.delete(backend_id, request_options=options)
        )

    async def user_names(self) -> dict[int, str]:
        """Return the email of each user by id, else the user name."""

        async def read(sdk: Any, options: dict[str, Any]) -> dict[int, str]:
            users = [user.__dict__ for user in await sdk.users.list(request_options=options)]
            return {
                int(user["id"]): user.get("email") or user.get("username") or f"user {user['id']}"
                for user in users
            }

        return await self._connection.read("users", read)

    async def clock(self) -> datetime:
        """Return the time of Label Studio's own clock, to the second."""

        async def read(sdk: Any, options: dict[str, Any]) -> str | None:
            answer = await sdk.versions.with_raw_response.get(request_options=options)
            date: str | None = answer.headers.get("date")
            return date

        date = await self._connection.read("version", read)
        return parsedate_to_datetime(date).astimezone(UTC) if date else datetime.now(UTC)


def _projects_with(marker: str, page: int) -> Request[tuple[list[int], bool]]:
    """Read one page of projects: the ids of those with `marker` in the description; whether pages follow."""

    async def read(sdk: Any, options: dict[str, Any]) -> tuple[list[int], bool]:
        # One page at a time: the SDK's pager goes on until Label Studio answers 404.
        answer = await sdk.projects.list(
            page=page, page_size=100, include="id,description", request_options=options
        )
        projects = [project.__dict__ for project in answer.items or []]
        ids = [int(project["id"]) for project in projects if marker in (project.get("description") or "")]
        return ids, bool(answer.response.next)

    return read
