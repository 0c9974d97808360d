"""No blocking call on the event loop: files, sleeps, connections and processes belong in threads."""

import asyncio
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from factories import make_dataset
from running_service import make_settings, run_app
from test_dashboard import log_in
from test_datasets_api import registered

# What Python tells of through its audit hooks, and means waiting.
WAITS = {
    "open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename", "time.sleep",
    "subprocess.Popen", "socket.getaddrinfo", "socket.gethostbyname", "sqlite3.connect", "shutil.rmtree",
}  # fmt: skip
ALLOWED = ("importlib", "linecache", "/logging/", "tracemalloc")


class Watch:
    """Notes what waits in one thread while it is on."""

    def __init__(self) -> None:
        self.thread: int | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, details: tuple[Any, ...]) -> None:
        if event not in WAITS or self.thread != threading.get_ident():
            return
        self.thread = None  # what follows is our own doing
        stack = traceback.format_stack()[:-1]
        if not any(name in line for line in stack for name in ALLOWED):
            self.seen.append(f"{event} {details[:1]}\n{''.join(stack[-6:])}")
        self.thread = threading.get_ident()


WATCH = Watch()


async def test_requests_do_not_wait_on_the_loop(tmp_path: Path, home: Path, database_url: str | None) -> None:
    make_dataset(tmp_path / "ds")
    make_dataset(tmp_path / "other")
    (tmp_path / "corpus").mkdir()
    settings = make_settings(home, database_url=database_url, ray_address="http://127.0.0.1:9")
    async with run_app(settings) as service, log_in(service) as browser:
        dataset = await registered(service, tmp_path / "ds")  # loads what is loaded late
        samples = f"/v1/datasets/{dataset['id']}/samples"
        url = (await service.client.get(samples)).json()["items"][0]["image_url"]
        await service.client.get(url)
        WATCH.seen.clear()
        WATCH.thread = threading.get_ident()
        try:
            asked = [
                await service.client.get("/v1/jobs"),
                await service.client.get(samples, params={"text": "red", "order": "confidence"}),
                await service.client.get(url, params={"width": 320}),
                await browser.get("/"),
                await browser.get(f"/datasets/{dataset['id']}"),
                await browser.get(f"/datasets/{dataset['id']}/rejects"),
            ]
            job = {"corpus": str(tmp_path / "corpus"), "out": str(tmp_path / "out")}
            made = [
                await service.client.post("/v1/jobs", json=job),
                await service.client.post("/v1/datasets", json={"address": str(tmp_path / "other")}),
            ]
            await asyncio.sleep(0.5)  # the loops of jobs and of the index have their turns
        finally:
            WATCH.thread = None
    assert [answer.status_code for answer in asked] == [200] * len(asked)
    assert [answer.status_code for answer in made] == [201] * len(made)
    assert WATCH.seen == [], "\n\n".join(WATCH.seen)


async def test_the_watch_sees_what_waits(tmp_path: Path) -> None:
    WATCH.seen.clear()
    WATCH.thread = threading.get_ident()
    (tmp_path / "file").write_text("x")
    WATCH.thread = None
    await asyncio.to_thread((tmp_path / "file").read_text)
    assert len(WATCH.seen) == 1
