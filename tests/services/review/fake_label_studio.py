"""A fake Label Studio in memory that can fail in ways the real one cannot: the transport of the client.

Knows the requests that `services.label_studio.client` sends and answers in the formats of the real Label
Studio (tests against the real one check the same flows). `fault` decides what goes wrong at each request.
"""

import itertools
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import httpx


class Killed(BaseException):
    """Stands for the death of the process at this moment."""


Fault = Callable[[httpx.Request], str | None]


class FakeLabelStudio(httpx.AsyncBaseTransport):
    """`fault` returns for a request None, or one of

    `refuse` (no connection), `500` (not accepted), `500-taken`, `timeout-taken` (accepted, and the answer is
    lost), `timeout-late` (accepted after two more requests), `kill` (our process dies before it),
    `kill-taken` (after). `meanwhile`: what somebody else does while a request is under way.
    """

    def __init__(self) -> None:
        self.projects: dict[int, dict[str, Any]] = {}
        self.tasks: dict[int, dict[str, Any]] = {}
        self.webhooks: dict[int, dict[str, Any]] = {}
        self.ml_backends: dict[int, dict[str, Any]] = {}
        self.refuses_ml_backends = False
        self.refused_images: set[str] = set()
        self.drops_predictions = self.refuses_predictions = False
        self.drafts: set[int] = set()
        self.fault: Fault = lambda request: None
        self.meanwhile: Callable[[httpx.Request], Awaitable[None]] | None = None
        self.requests: list[str] = []
        self._late: list[tuple[int, Callable[[], Any]]] = []
        self._ids = itertools.count(1)
        self._now = datetime.now(UTC) - timedelta(hours=1)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(f"{request.method} {request.url.path}")
        if self.meanwhile is not None:
            await self.meanwhile(request)
        self._take_late()
        fault = self.fault(request)
        if fault == "kill":
            raise Killed
        if fault == "refuse":
            raise httpx.ConnectError("refused", request=request)
        if fault == "500":
            return httpx.Response(500, request=request)
        body = json.loads(request.content) if request.content else None
        if fault == "timeout-late":
            self._late.append((len(self.requests) + 2, lambda: self._answer(request, body)))
            raise httpx.ReadTimeout("timed out", request=request)
        status, document = self._answer(request, body)
        if fault == "kill-taken":
            raise Killed
        if fault == "timeout-taken":
            raise httpx.ReadTimeout("timed out", request=request)
        if fault == "500-taken":
            return httpx.Response(502, request=request)
        headers = {"date": self._now.strftime("%a, %d %b %Y %H:%M:%S GMT")}
        headers["content-type"] = "application/json"
        content = None if document is None else json.dumps(document)  # in ASCII, as Django does
        return httpx.Response(status, content=content, headers=headers, request=request)

    def finish_late(self) -> None:
        """Accept everything that is still to be accepted late."""
        self._take_late(at_once=True)

    def keys(self) -> list[str]:
        """Return the keys of all LsTasks in the order of their insertion."""
        return [task["data"]["fo1_key"] for _, task in sorted(self.tasks.items())]

    def task_of(self, image_id: str) -> dict[str, Any]:
        """Return the LsTask of an image (of several rounds the last)."""
        return [task for task in self.tasks.values() if task["data"]["image_id"] == image_id][-1]

    def annotate(
        self, task: dict[str, Any], result: list[Any] | None = None, person: int = 1, **more: Any
    ) -> int:
        """Somebody begins with the prediction and submits it, by default as it is."""
        number = next(self._ids)
        result = task["predictions"][0]["result"] if result is None else result
        annotation = {"id": number, "completed_by": person, "result": result, "was_cancelled": False}
        annotation |= {"ground_truth": False, "lead_time": 3.5, "parent_prediction": task["id"]}
        annotation |= {"updated_at": self._tick(), **more}
        task["annotations"].append(annotation)
        task["updated_at"] = self._tick()
        return number

    def change(self, task: dict[str, Any], number: int, **fields: Any) -> None:
        """Somebody submits an annotation again."""
        for annotation in task["annotations"]:
            if annotation["id"] == number:
                annotation.update(fields, updated_at=self._tick())
        task["updated_at"] = self._tick()

    def import_again(self, task: dict[str, Any]) -> dict[str, Any]:
        """Somebody exports an LsTask and imports it into the same project."""
        copied = {"data": dict(task["data"]), "predictions": list(task["predictions"])}
        return self.tasks[self._insert(self.projects[task["project"]], copied)]

    def remove_duplicates(self, kept: dict[str, Any], removed: dict[str, Any]) -> None:
        """Somebody uses "Delete duplicate tasks": annotations move, and no `updated_at` changes."""
        kept["annotations"] += removed["annotations"]
        del self.tasks[removed["id"]]

    def delete(self, task: dict[str, Any], number: int) -> None:
        """Somebody deletes an annotation."""
        task["annotations"] = [annotation for annotation in task["annotations"] if annotation["id"] != number]
        task["updated_at"] = self._tick()

    def _tick(self) -> str:
        self._now += timedelta(seconds=90)
        return self._now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _take_late(self, at_once: bool = False) -> None:
        for entry in list(self._late):
            if at_once or entry[0] < len(self.requests):
                self._late.remove(entry)
                entry[1]()

    def _answer(self, request: httpx.Request, body: Any) -> tuple[int, Any]:
        parts = request.url.path.strip("/").split("/")[1:]
        query = {name: values[0] for name, values in parse_qs(request.url.query.decode()).items()}
        if parts[0] == "version":
            return 200, {}
        if parts[0] == "users":
            return 200, [{"id": number, "email": f"person{number}@example.org"} for number in range(1, 9)]
        if parts[0] == "webhooks":
            return self._webhooks(request.method, parts, body)
        if parts[0] == "ml":
            return self._ml(request.method, parts, body)
        if parts[0] == "projects":
            return self._projects(request.method, parts, body)
        if request.method == "PATCH":
            return self._change_task(int(parts[1]), body)
        if request.method == "DELETE":
            return (204, None) if self.tasks.pop(int(parts[1]), None) else (404, {})
        return self._list(query)

    def _projects(self, method: str, parts: list[str], body: Any) -> tuple[int, Any]:
        if len(parts) == 1 and method == "GET":
            return 200, {"results": list(self.projects.values()), "next": None}
        if len(parts) == 1:
            number = next(self._ids)
            self.projects[number] = {"id": number, **body}
            return 201, self.projects[number]
        if int(parts[1]) not in self.projects:
            return 404, {}
        project = self.projects[int(parts[1])]
        if parts[2:] == ["import"]:
            if any(task["data"]["image_id"] in self.refused_images for task in body):
                return 400, {"detail": "this task is wrong"}
            kept = [] if self.drops_predictions else [entry for task in body for entry in task["predictions"]]
            tasks = [{**task, "predictions": []} if self.drops_predictions else task for task in body]
            ids = [self._insert(project, task) for task in tasks]
            return 201, {"task_ids": ids, "prediction_count": len(kept)}
        if parts[2:] == ["import", "predictions"]:
            if self.refuses_predictions:
                return 400, {"detail": "this prediction is wrong"}
            for entry in body:
                self.tasks[entry["task"]]["predictions"].append(entry)
            return 201, {"created": len(body)}
        if method == "PATCH":
            project.update(body)
        totals = [_totals(task) for task in self.tasks.values() if task["project"] == project["id"]]
        return 200, {
            **project,
            "task_number": len(totals),
            "total_annotations_number": sum(part["total_annotations"] for part in totals),
            "skipped_annotations_number": sum(part["cancelled_annotations"] for part in totals),
        }

    def _insert(self, project: dict[str, Any], task: dict[str, Any]) -> int:
        number = next(self._ids)
        self.tasks[number] = {**task, "id": number, "project": project["id"], "annotations": []}
        self.tasks[number]["updated_at"] = self._tick()
        return number

    def _change_task(self, number: int, body: Any) -> tuple[int, Any]:
        if number not in self.tasks:
            return 404, {}
        self.tasks[number].update(body, updated_at=self._tick())
        return 200, self.tasks[number]

    def _webhooks(self, method: str, parts: list[str], body: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, list(self.webhooks.values())
        if method == "DELETE":
            self.webhooks.pop(int(parts[1]))
            return 204, None
        number = int(parts[1]) if len(parts) > 1 else next(self._ids)
        self.webhooks[number] = {"id": number, **body}
        return 200, self.webhooks[number]

    def _ml(self, method: str, parts: list[str], body: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, list(self.ml_backends.values())
        if method == "DELETE":
            self.ml_backends.pop(int(parts[1]))
            return 204, None
        if self.refuses_ml_backends:
            return 400, {"detail": "the backend does not answer"}
        number = int(parts[1]) if len(parts) > 1 else next(self._ids)
        self.ml_backends[number] = {"id": number, **body}
        return 200, self.ml_backends[number]

    def _list(self, parameters: dict[str, str]) -> tuple[int, Any]:
        query = json.loads(parameters["query"])
        matches = [task for task in self.tasks.values() if task["project"] == int(parameters["project"])]
        for condition in query.get("filters", {}).get("items", []):
            matches = [task for task in matches if _passes(task, condition)]
        if "selectedItems" in query:
            matches = [task for task in matches if task["id"] in query["selectedItems"]["included"]]
        order = (query.get("ordering") or ["tasks:id"])[0].removeprefix("tasks:")
        matches.sort(key=lambda task: (task[order], task["id"]))
        size, page = int(parameters["page_size"]), int(parameters["page"])
        if page > 1 and (page - 1) * size >= len(matches):
            return 404, {}
        cut = [
            {**task, **_totals(task), "draft_exists": task["id"] in self.drafts}
            for task in matches[(page - 1) * size : page * size]
        ]
        return 200, {"tasks": cut, "total": len(matches)}


def _totals(task: dict[str, Any]) -> dict[str, Any]:
    cancelled = sum(annotation["was_cancelled"] for annotation in task["annotations"])
    versions = sorted({prediction["model_version"] for prediction in task["predictions"]})
    return {
        "total_annotations": len(task["annotations"]) - cancelled,
        "cancelled_annotations": cancelled,
        "total_predictions": len(task["predictions"]),
        "predictions_model_versions": ",".join(versions),
    }


def _passes(task: dict[str, Any], condition: dict[str, Any]) -> bool:
    name = condition["filter"].removeprefix("filter:tasks:")
    value = task["data"].get(name.removeprefix("data.")) if name.startswith("data.") else None
    value = {**task, **_totals(task)}[name] if value is None else value
    if condition["operator"] == "in_list":
        return value in condition["value"]
    return bool(
        value > condition["value"] if condition["operator"] == "greater" else value >= condition["value"]
    )
