"""The parts of a review as processes and servers that can be hurt: the service, its Label Studio."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from fake_label_studio import FakeLabelStudio
from ray_head import free_port

ANSWERS_WITHIN_S = 600.0  # many stops of 30 s may follow one another


@contextmanager
def serving_fake(fake: FakeLabelStudio) -> Iterator[str]:
    """The fake Label Studio behind a port; what it does to a request is done to the connection."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = httpx.Request(self.command, f"http://fake{self.path}", content=body)
            try:
                with lock:
                    answer = asyncio.run(fake.handle_async_request(request))
            except httpx.TransportError:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(answer.status_code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = handle_any

        def log_message(self, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class ServiceProcess:
    """`fo1 serve` on a home in `folder` that outlives it. `roots`: where it may read."""

    def __init__(self, folder: Path, database_url: str, label_studio_url: str, roots: Sequence[Path]) -> None:
        self._port, self._log = free_port(), folder / "serve.log"
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=30)
        self._environment = {
            **os.environ,
            "FO1_HOME": str(folder / "home"),
            "FO1_STORAGE_ROOTS": json.dumps([*map(str, roots)]),
            "FO1_DATABASE_URL": database_url,
            "FO1_RAY_ADDRESS": "http://127.0.0.1:9",
            "FO1_LABEL_STUDIO_URL": label_studio_url,
            "FO1_LABEL_STUDIO_TOKEN": "f" * 40,
            "FO1_REVIEW_PULL_EVERY_S": "0",
        }
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it unless it runs; the first start tells the key."""
        if self.process is not None and self.process.poll() is None:
            return
        command = [sys.executable, "-m", "fo1_data.cli.main", "serve", "--port", str(self._port), "--json"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self._environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        document = ""
        while not document.rstrip().endswith("}"):
            if not (line := self.process.stdout.readline()):
                raise RuntimeError(f"fo1 serve ended: {self._log.read_text()[-500:]}")
            document += line
        if key := json.loads(document)["admin_key"]:
            self.api.headers["Authorization"] = f"Bearer {key}"

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """An answer of it, asked for again while it is away or what it needs is."""
        deadline_s = time.monotonic() + ANSWERS_WITHIN_S
        while True:
            try:
                self.start()
                answer = self.api.request(method, path, **more)
                if answer.status_code < 500:
                    return answer.raise_for_status().json()
                failure = answer.text
            except (httpx.TransportError, RuntimeError) as error:
                failure = str(error)
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"{method} {path}: {failure[:300]}")
            time.sleep(0.2)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.api.close()
