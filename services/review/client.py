"""Label Studio's API as this project uses it: one small seam over httpx.

Reads are tried again on a broken connection or a 5xx; writes never are, because Label Studio may have taken
them: whoever writes looks by its own key first. Answers are parsed as raw JSON. The token is either kind of
Label Studio's: a legacy one, or a personal access token, which only buys access tokens of five minutes.
Times in seconds.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx

from fo1_data.errors import RunError

READ_TRIES = 3
PAUSE_S = 0.3
READ_TIMEOUT_S = 60.0
WRITE_TIMEOUT_S = 60.0
LOOKUP = 50
_ACCESS_TOKEN_S = 240.0
ACTIONS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED")
_TASK_FIELDS = "id,updated_at,annotations,result,completed_by,was_cancelled,ground_truth,lead_time"


class LabelStudioError(RunError):
    """Label Studio does not do what was asked: its token is wrong, or its answer cannot be understood."""


class LabelStudioRefused(LabelStudioError):
    """Label Studio finds what was sent to be wrong (4xx)."""


class LabelStudioLost(LabelStudioError):
    """Label Studio cannot be reached, or fails: a write may or may not have been taken."""


class LabelStudioGone(LabelStudioError):
    """What was asked for is not in Label Studio (any more)."""


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
        self.url = url.rstrip("/")
        self._token, self._write_timeout_s, self._pause_s = token, write_timeout_s, pause_s
        self._access: tuple[str, float] | None = None
        # Label Studio's development server closes idle connections without notice: keep none for long.
        limits = httpx.Limits(max_connections=4, max_keepalive_connections=2, keepalive_expiry=2.0)
        self._http = httpx.AsyncClient(
            base_url=self.url, timeout=READ_TIMEOUT_S, limits=limits, transport=transport, trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def find_project(self, key: str) -> dict[str, Any] | None:
        """The oldest project whose description carries `key`; None where there is none."""
        page, found = 1, []
        while True:
            answer = await self._read(
                "/api/projects", {"page": page, "page_size": 100, "include": "id,description"}
            )
            found += [one for one in answer["results"] if key in (one.get("description") or "")]
            if not answer.get("next"):
                return min(found, key=lambda one: int(one["id"])) if found else None
            page += 1

    async def create_project(self, **fields: Any) -> int:
        """Make a project; its id."""
        return int((await self._write("POST", "/api/projects", fields))["id"])

    async def update_project(self, project_id: int, **fields: Any) -> None:
        """Change fields of a project."""
        await self._write("PATCH", f"/api/projects/{project_id}", fields)

    async def project(self, project_id: int) -> dict[str, Any]:
        """A project. Raises LabelStudioGone."""
        found: dict[str, Any] = await self._read(f"/api/projects/{project_id}")
        return found

    async def import_tasks(self, project_id: int, ls_tasks: Sequence[dict[str, Any]]) -> list[int]:
        """Insert LsTasks in one request; their ids, in order."""
        path = f"/api/projects/{project_id}/import?return_task_ids=true"
        answer = await self._write("POST", path, ls_tasks)
        ids = [int(one) for one in answer.get("task_ids") or []]
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

    async def update_task(self, task_id: int, **fields: Any) -> None:
        """Change fields of an LsTask. Raises LabelStudioGone, LabelStudioRefused."""
        await self._write("PATCH", f"/api/tasks/{task_id}/", fields)

    async def delete_task(self, task_id: int) -> None:
        """Delete an LsTask; one that is gone already is no error."""
        try:
            await self._write("DELETE", f"/api/tasks/{task_id}/", None)
        except LabelStudioGone:
            return

    async def set_webhook(self, project_id: int, url: str, headers: dict[str, str]) -> int:
        """Make the project's webhook to `url`, or bring the one that is there up to date; its id."""
        fields = {
            "project": project_id,
            "url": url,
            "headers": headers,
            "send_payload": True,
            "send_for_all_actions": False,
            "is_active": True,
            "actions": list(ACTIONS),
        }
        there = await self._read("/api/webhooks/", {"project": project_id})
        ours = sorted(int(one["id"]) for one in there if one.get("url") == url)
        for extra in ours[1:]:
            await self._write("DELETE", f"/api/webhooks/{extra}/", None)
        if ours:
            await self._write("PATCH", f"/api/webhooks/{ours[0]}/", fields)
            return ours[0]
        return int((await self._write("POST", "/api/webhooks/", fields))["id"])

    async def people(self) -> dict[int, str]:
        """The names of users by id: their email, else their user name."""
        users = await self._read("/api/users")
        return {
            int(one["id"]): one.get("email") or one.get("username") or f"user {one['id']}" for one in users
        }

    async def clock(self) -> datetime:
        """The time of Label Studio's own clock, to the second."""
        answer = await self._send_read("/api/version", {})
        date = answer.headers.get("date")
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
            answer = await self._read("/api/tasks", {**parameters, "query": json.dumps(query)})
        except LabelStudioGone:
            if page > 1:
                return []  # past the last page
            raise
        tasks = answer.get("tasks")
        if not isinstance(tasks, list):
            raise LabelStudioError("Label Studio's list of tasks cannot be understood")
        return tasks

    async def _read(self, path: str, parameters: dict[str, Any] | None = None) -> Any:
        return _json(await self._send_read(path, parameters or {}))

    async def _send_read(self, path: str, parameters: dict[str, Any]) -> httpx.Response:
        for attempt in range(1, READ_TRIES + 1):
            try:
                return await self._send("GET", path, READ_TIMEOUT_S, params=parameters)
            except LabelStudioLost:
                if attempt == READ_TRIES:
                    raise
                await asyncio.sleep(self._pause_s * 2**attempt)
        raise AssertionError

    async def _write(self, method: str, path: str, body: Any) -> Any:
        answer = await self._send(method, path, self._write_timeout_s, json=body)
        return _json(answer) if answer.content else None

    async def _send(self, method: str, path: str, timeout_s: float, **what: Any) -> httpx.Response:
        headers = {"Authorization": await self._authorization()}
        try:
            answer = await self._http.request(method, path, headers=headers, timeout=timeout_s, **what)
        except httpx.HTTPError as error:
            told = str(error) or type(error).__name__
            raise LabelStudioLost(f"Label Studio at {self.url} does not answer: {told}") from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise LabelStudioLost(f"Label Studio at {self.url} fails ({answer.status_code})")
        if answer.status_code == 404:
            raise LabelStudioGone(f"Label Studio has no {path.partition('?')[0]}")
        if answer.status_code in (401, 403):
            raise LabelStudioError(
                f"Label Studio refuses the token ({answer.status_code}): FO1_LABEL_STUDIO_TOKEN"
            )
        if answer.status_code >= 400:
            raise LabelStudioRefused(f"Label Studio refuses ({answer.status_code}): {_told(answer)}")
        return answer

    async def _authorization(self) -> str:
        if self._token.count(".") != 2:
            return f"Token {self._token}"
        if self._access is None or self._access[1] < time.monotonic():
            try:
                answer = await self._http.post("/api/token/refresh", json={"refresh": self._token})
            except httpx.HTTPError as error:
                raise LabelStudioLost(f"Label Studio at {self.url} does not answer: {error}") from error
            if answer.status_code >= 500:
                raise LabelStudioLost(f"Label Studio at {self.url} fails ({answer.status_code})")
            if answer.status_code >= 400:
                raise LabelStudioError(
                    "Label Studio refuses the personal access token: FO1_LABEL_STUDIO_TOKEN"
                )
            self._access = (str(_json(answer)["access"]), time.monotonic() + _ACCESS_TOKEN_S)
        return f"Bearer {self._access[0]}"


def _keyed(one: dict[str, Any], field: str) -> tuple[str, int, int]:
    number = int(one.get("total_annotations") or 0) + int(one.get("cancelled_annotations") or 0)
    return str((one.get("data") or {}).get(field, "")), int(one["id"]), number


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise LabelStudioError(
            f"{answer.request.url.path} does not answer in JSON: no Label Studio?"
        ) from None


def _told(answer: httpx.Response) -> str:
    try:
        document = answer.json()
        told = (
            document.get("validation_errors") or document.get("detail")
            if isinstance(document, dict)
            else document
        )
    except ValueError:
        told = answer.text
    return " ".join(str(told).split())[:300]
