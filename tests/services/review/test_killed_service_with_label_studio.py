"""A service that is killed while it pushes to a real Label Studio."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Pair
from factories import make_dataset, make_row
from review_samples import edited

from schemas.labels import Decision
from services.label_studio.server import LabelStudioServer
from services.label_studio.shown_from_rows import shown_image

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def serve(pair: Pair, tmp_path: Path) -> Iterator["Serve"]:
    """A service of its own beside the same Label Studio, not started yet."""
    one = Serve(tmp_path, pair.label_studio)
    yield one
    one.kill()
    one.api.close()


def test_a_thousand_tasks_by_a_service_that_is_killed(pair: Pair, serve: "Serve", tmp_path: Path) -> None:
    """`fo1 serve` dies while it pushes and pulls: all is in Label Studio once, and comes back once."""
    rows = [make_row(seed, 2, decisions=[Decision.REVIEW] * 2) for seed in range(1000)]
    make_dataset(tmp_path / "many", rows, rows_a_shard=250)
    serve.start()
    asked = serve.api.post("/v1/reviews", json={"dataset": str(tmp_path / "many")}).raise_for_status().json()
    page = f"/v1/reviews/{asked['id']}"
    for sent in (100, 500):
        pair.until(lambda: serve.get(page)["items"].get("sent", 0), sent.__le__)
        serve.kill()
        serve.start()
    review = pair.until(lambda: serve.get(page), lambda review: review["state"] == "open")

    assert review["items"] == {"total": 1000, "sent": 1000}
    tasks = pair.tasks(review["project_id"], include="id,data")
    assert len({task["data"]["fo1_key"] for task in tasks}) == len(tasks) == 1000
    chosen = {row.image_id: row for row in rows[::16]}
    for task in tasks:
        row = chosen.get(task["data"]["image_id"])
        if row is not None:
            pair.annotate(task["id"], edited(shown_image(row), a="seen"))
    with ThreadPoolExecutor(1) as pool:
        pull = pool.submit(serve.api.post, f"{page}/pull")
        pair.until(lambda: serve.get(page)["annotations"].get("submitted", 0), (1).__le__)
        serve.kill()
        assert pull.exception() is not None or len(chosen) == pull.result().json()["reviewed"]
    serve.start()
    pulled = serve.api.post(f"{page}/pull").raise_for_status().json()
    assert (pulled["annotations"], pulled["reviewed"]) == ({"submitted": len(chosen)}, len(chosen))
    assert pulled["corrections"]["recaptioned"] == len(chosen)


class Serve:
    """`fo1 serve` as a process of its own, on a home that outlives it."""

    def __init__(self, folder: Path, label_studio: LabelStudioServer) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self._log = folder / "serve.log"
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=120)
        self._environment = {
            **os.environ,
            "FO1_HOME": str(folder / "home"),
            "FO1_STORAGE_ROOTS": json.dumps([str(folder)]),
            "FO1_LABEL_STUDIO_URL": label_studio.url,
            "FO1_LABEL_STUDIO_TOKEN": label_studio.token,
            "FO1_REVIEW_PULL_EVERY_S": "0",
        }

    def start(self) -> None:
        """Start it, and wait until it answers; the first start tells the key."""
        command = [sys.executable, "-m", "fo1_data.cli.main", "serve", "--port", str(self._port), "--json"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None
        document = ""
        while not document.rstrip().endswith("}"):
            line = self._process.stdout.readline()
            assert line, self._log.read_text()
            document += line
        if key := json.loads(document)["admin_key"]:
            self.api.headers["Authorization"] = f"Bearer {key}"
        self.get("/healthz")

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def get(self, path: str) -> dict[str, Any]:
        """A document of it, asked for until it listens."""
        for _ in range(600):
            try:
                found: dict[str, Any] = self.api.get(path).raise_for_status().json()
                return found
            except httpx.ConnectError:
                time.sleep(0.1)
        raise AssertionError("fo1 serve does not listen")
