"""A real Label Studio, and the service beside it on a socket, once for all tests of the session."""

import asyncio
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright
from running_service import make_settings

from fo1_data.errors import RunError
from schemas.images import Grounding
from schemas.labels import Label, Source
from schemas.live import LiveAnswer, LiveRequest
from schemas.regions import Region, make_region_id
from services.app import create_app
from services.context import Context
from services.label_studio.server import USERNAME, LabelStudioServer, install, start
from services.security.keys import Scope, create_key

TOKEN = "f" * 40
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 1000.0


@dataclass
class Pair:
    """The service and its Label Studio. `api` asks the service, `ls` Label Studio, both with their keys."""

    url: str
    key: str
    context: Context
    label_studio: LabelStudioServer
    api: httpx.Client
    ls: httpx.Client

    def await_review(self, review_id: str, **expected: Any) -> dict[str, Any]:
        """The review once its fields are as wanted."""
        return self.until(
            lambda: self.api.get(f"/v1/reviews/{review_id}").raise_for_status().json(),
            lambda review: all(review[name] == value for name, value in expected.items()),
        )

    def until(self, ask: Any, fits: Any, timeout_s: float = 120.0) -> Any:
        """What `ask` gives once it fits."""
        end = time.monotonic() + timeout_s
        while not fits(found := ask()):
            assert time.monotonic() < end, found
            time.sleep(0.1)
        return found

    def push(self, dataset: Path, **options: Any) -> dict[str, Any]:
        """A review of the dataset, all of it in Label Studio."""
        answer = self.api.post("/v1/reviews", json={"dataset": str(dataset), **options})
        assert answer.status_code == 201, answer.text
        return self.await_review(answer.json()["id"], state="open")

    def tasks(self, project_id: int, **parameters: Any) -> list[dict[str, Any]]:
        """The LsTasks of a project, whole."""
        expected = {"project": project_id, "fields": "all", "page_size": 1000, **parameters}
        found: list[dict[str, Any]] = (
            self.ls.get("/api/tasks", params=expected).raise_for_status().json()["tasks"]
        )
        return found

    def annotate(self, task_id: int, result: list[dict[str, Any]], **more: Any) -> int:
        """Submit an annotation as its API does it."""
        answer = self.ls.post(
            f"/api/tasks/{task_id}/annotations/", json={"result": result, "lead_time": 4.5, **more}
        )
        return int(answer.raise_for_status().json()["id"])

    def corrections(self, review_id: str, **parameters: Any) -> list[dict[str, Any]]:
        """All pages of a review's corrections."""
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            query = {**parameters, **({"cursor": cursor} if cursor else {})}
            page = (
                self.api.get(f"/v1/reviews/{review_id}/corrections", params=query).raise_for_status().json()
            )
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """A real Label Studio on loopback; skipped where it cannot be installed, failed there in CI.

    FO1_TEST_LABEL_STUDIO="URL TOKEN PASSWORD" takes one that runs already: it starts in a minute.
    """
    running = os.environ.get("FO1_TEST_LABEL_STUDIO")
    if running:
        url, token, password = running.split()
        with subprocess.Popen(["true"]) as nothing:
            yield LabelStudioServer(url, USERNAME, password, token, nothing, Path(os.devnull))
        return
    try:
        install()
    except RunError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(f"no Label Studio: {error}")
    server = start(tmp_path_factory.mktemp("label-studio"), token=TOKEN, password="a-password")
    yield server
    server.stop()


class _Predictor(BaseHTTPRequestHandler):
    """Stands in for the model on images of 64 x 48: captions every box, finds a phrase in one place."""

    def do_POST(self) -> None:
        asked = LiveRequest.model_validate_json(self.rfile.read(int(self.headers["content-length"])))
        boxes = asked.boxes_xyxy or [(10.0, 10.0, 30.0, 20.0)]
        ids = [make_region_id(asked.image_id, box) for box in boxes]
        label = Label(kind=asked.kinds[0], text="seen live")
        regions = [
            Region(region_id=name, index=at, box_xyxy=box, box_source=Source.MODEL, brief_caption="seen live")
            for at, (name, box) in enumerate(zip(ids, boxes, strict=True))
        ]
        found = [
            Grounding(phrase=phrase, kind=label.kind, region_ids=ids, label=label) for phrase in asked.phrases
        ]
        answer = LiveAnswer(
            image_id=asked.image_id, width=64, height=48, regions=regions, groundings=found, counts=[],
            answers=[], caption=None, model="fo1-tiny", model_sha256="ab" * 32, warm=True, seconds=0.1,
        )  # fmt: skip
        body = answer.model_dump_json().encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def predictor() -> Iterator[str]:
    """The URL of a stand-in for the model."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Predictor)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/predict"
    server.shutdown()
    thread.join(30)
    server.server_close()


@pytest.fixture(scope="session")
def pair(
    predictor: str, label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """The service with that Label Studio, served on a socket as `fo1 serve` does."""
    base = tmp_path_factory.getbasetemp()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    settings = make_settings(
        tmp_path_factory.mktemp("service") / "home",
        storage_roots=[str(base)],
        public_url=url,
        port=port,
        label_studio_url=label_studio.url,
        label_studio_token=label_studio.token,
        review_pull_every_s=0,
        predict_url=predictor,
    )
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    headers = {"Authorization": f"Token {label_studio.token}"}
    with (
        httpx.Client(base_url=url, timeout=60) as api,
        httpx.Client(base_url=label_studio.url, headers=headers, timeout=120) as ls,
    ):
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.05)
        key = asyncio.run(_make_key(settings))
        api.headers["Authorization"] = f"Bearer {key}"
        yield Pair(url, key, app.state.context, label_studio, api, ls)
    server.should_exit = True
    thread.join(30)


async def _make_key(settings: Any) -> str:
    from services.database.engine import open_database

    database = open_database(settings)
    async with database.writing() as session:
        key = (await create_key(session, [Scope.ADMIN])).key
    await database.dispose()
    return key


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is absent: CI installs it first")
        pytest.skip("Chromium is absent: no reviewer's browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(browser: Browser, pair: Pair) -> Iterator[Page]:
    """A page in which the reviewer is logged in."""
    page = browser.new_page(viewport={"width": 1500, "height": 950})
    page.set_default_timeout(40 * SECONDS)
    page.goto(f"{pair.label_studio.url}/user/login/")
    page.fill("input[name=email]", pair.label_studio.username)
    page.fill("input[name=password]", pair.label_studio.password)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{pair.label_studio.url}/")
    yield page
    page.close()
