"""The Label Studio of a review and its reviewers, who edit one caption of every image.

The fake of the tests stands behind a port: it loses, repeats and delays answers where the real one cannot be
made to, and its webhooks are lost, doubled and shuffled here. The real one is killed and stopped, and sends
its webhooks itself.
"""

import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import httpx
import psutil
from fake_label_studio import FakeLabelStudio
from injectors import kill
from review_parts import ServiceProcess, serving_fake
from review_samples import edited

from schemas.images import ImageRow
from services.label_studio.server import LabelStudioServer, start
from services.label_studio.shown_from_rows import shown_image

TOKEN = "f" * 40
FAILING = 0.1  # the share of requests to the fake that fail while there are faults
ANSWERS_WITHIN_S = 240.0
_FAKE_FAULTS = {
    "refuse": "Label Studio away",
    "500": "Label Studio failed",
    "500-taken": "Label Studio took it and failed",
    "timeout-taken": "Label Studio took it, answer lost",
    "timeout-late": "Label Studio took it late",
}
Tell = Callable[[str], bool]


class Studio(Protocol):
    """A Label Studio with one review. `harms`: what can be done to its processes, by name."""

    url: str

    def harms(self, hold_s: Callable[[], float]) -> dict[str, Callable[[], bool]]: ...

    def annotate(self, rows: Mapping[str, ImageRow], project_id: int, service: ServiceProcess) -> None:
        """Submit one annotation of every image. `rows`: by image id."""

    def images(self, project_id: int) -> Counter[str]:
        """How many LsTasks each image has."""


class FakeStudio:
    """The fake. `tell`: takes the name of a fault; False: there were as many as wanted."""

    def __init__(self, url: str, fake: FakeLabelStudio, chance: random.Random, tell: Tell) -> None:
        self.url, self._fake, self._chance, self._tell = url, fake, chance, tell
        fake.fault = self._fault

    def harms(self, hold_s: Callable[[], float]) -> dict[str, Callable[[], bool]]:
        return {}

    def annotate(self, rows: Mapping[str, ImageRow], project_id: int, service: ServiceProcess) -> None:
        self._fake.finish_late()
        posts = []
        for task in list(self._fake.tasks.values()):
            result = edited(shown_image(rows[task["data"]["image_id"]]), a="seen")
            posts.append({"id": self._fake.annotate(task, result), "task": task["id"]})
        self._chance.shuffle(posts)
        for webhook in list(self._fake.webhooks.values()):
            path = httpx.URL(webhook["url"]).path
            for annotation in posts:
                times = self._chance.choice((0, 1, 2))
                for _ in range(times):
                    with suppress(httpx.HTTPError):
                        payload = {"action": "ANNOTATION_CREATED", "annotation": annotation}
                        service.api.post(path, json=payload, headers=webhook["headers"])
                if times != 1:
                    self._tell("webhook doubled" if times else "webhook lost")
            self._tell("webhooks shuffled")

    def images(self, project_id: int) -> Counter[str]:
        self._fake.fault = lambda request: None
        return Counter(task["data"]["image_id"] for task in self._fake.tasks.values())

    def _fault(self, request: httpx.Request) -> str | None:
        if self._chance.random() >= FAILING:
            return None
        kind = self._chance.choice(list(_FAKE_FAULTS))
        return kind if self._tell(_FAKE_FAULTS[kind]) else None


@contextmanager
def fake_studio(chance: random.Random, tell: Tell) -> Iterator[Studio]:
    """A fresh fake for the time of the block."""
    fake = FakeLabelStudio()
    with serving_fake(fake) as url:
        yield FakeStudio(url, fake, chance, tell)


class RealStudio:
    """A real Label Studio, which begins with its first use: its data outlive its kills and its reviews."""

    def __init__(self) -> None:
        self._data = Path(tempfile.gettempdir()) / f"fo1-studio-{os.getpid()}"
        self._server: LabelStudioServer | None = None
        self._port = 0
        self.url = ""

    def start(self) -> None:
        """Start it unless it runs: the first time it makes its database, which takes minutes."""
        if self._server is None or self._server.process.poll() is not None:
            self._server = start(self._data, self._port, TOKEN, "a-password")
            self.url, self._port = self._server.url, int(httpx.URL(self._server.url).port or 0)

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def harms(self, hold_s: Callable[[], float]) -> dict[str, Callable[[], bool]]:
        return {"Label Studio killed": self._kill, "Label Studio stopped": lambda: self._hold(hold_s())}

    def annotate(self, rows: Mapping[str, ImageRow], project_id: int, service: ServiceProcess) -> None:
        for task in self._tasks(project_id):
            result = edited(shown_image(rows[task["data"]["image_id"]]), a="seen")
            path = f"/api/tasks/{task['id']}/annotations/"
            # A person whose request fails looks whether it was taken before it is sent again.
            while not self._ask("GET", path):
                with suppress(httpx.HTTPError):
                    self._request("POST", path, json={"result": result, "lead_time": 4.5})

    def images(self, project_id: int) -> Counter[str]:
        return Counter(task["data"]["image_id"] for task in self._tasks(project_id))

    def _tasks(self, project_id: int) -> list[dict[str, Any]]:
        parameters: dict[str, Any] = {"project": project_id, "fields": "all", "page_size": 1000}
        found: list[dict[str, Any]] = self._ask("GET", "/api/tasks", params=parameters)["tasks"]
        return found

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        """An answer of it, asked for again while it is away."""
        deadline_s = time.monotonic() + ANSWERS_WITHIN_S
        while True:
            try:
                return self._request(method, path, **more).json()
            except (httpx.HTTPError, json.JSONDecodeError):
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.3)

    def _request(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Token {TOKEN}"}
        answer = httpx.request(method, f"{self.url}{path}", headers=headers, timeout=60, **more)
        return answer.raise_for_status()

    def _processes(self) -> list[psutil.Process]:
        assert self._server is not None
        with suppress(psutil.Error):
            root = psutil.Process(self._server.process.pid)
            return [root, *root.children(recursive=True)]
        return []

    def _kill(self) -> bool:
        """It dies, and somebody starts it again."""
        killed = [kill(process) for process in self._processes()]
        assert self._server is not None
        self._server.process.wait()
        self.start()
        return any(killed)

    def _hold(self, seconds: float) -> bool:
        processes = self._processes()
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for process in processes:
                with suppress(psutil.Error):
                    process.send_signal(number)
            if number == signal.SIGSTOP:
                time.sleep(seconds)
        return bool(processes)
