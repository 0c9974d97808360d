"""An object store behind a proxy that is slow, fails, lies, or loses what it should pass on.

Each fault is drawn at a request and told: a status of 503, an answer that is slow, cut, or shorter than the
whole without a sign of it, one that is lost after the store did what was asked, and an old listing.
"""

import http.client
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

SLOW_S = 1.5


class LyingStore:
    """Passes requests on to the store at `behind`, some of them badly. `rate`: the share of
    requests that are hurt. `tell`: takes the name of a fault; False: there were as many as wanted."""

    def __init__(self, behind: str, chance: random.Random, tell: Callable[[str], bool]) -> None:
        self.behind = urlsplit(behind)
        self.rate = 0.0
        self.url = ""
        self._chance, self._tell = chance, tell
        self._listings: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self._lock = threading.Lock()

    def fault(self, method: str, path: str) -> str | None:
        """What goes wrong with a request. None: nothing, or there were as many faults as wanted."""
        with self._lock:
            if self._chance.random() >= self.rate:
                return None
            kinds = ["store failed (503)", "store slow"]
            if method in ("PUT", "POST", "DELETE"):
                kinds += ["store took it, answer lost"] * 2
            if method == "GET":
                kinds += ["store cut a body", "store sent less than it said"]
                kinds += ["store listed the past"] * 2 if self._key(path) in self._listings else []
            kind = self._chance.choice(kinds)
            return kind if self._tell(kind) else None

    def ask(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """The answer of the store itself."""
        connection = http.client.HTTPConnection(str(self.behind.hostname), self.behind.port, timeout=60)
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        answer = response.status, dict(response.getheaders()), response.read()
        connection.close()
        return answer

    def listing(self, path: str) -> tuple[int, dict[str, str], bytes] | None:
        """The first answer to a listing of the same prefix."""
        return self._listings.get(self._key(path))

    def remember(self, path: str, answer: tuple[int, dict[str, str], bytes]) -> None:
        if "prefix" in parse_qs(urlsplit(path).query):
            self._listings[self._key(path)] = answer

    def _key(self, path: str) -> str:
        return ",".join(parse_qs(urlsplit(path).query).get("prefix", []))


def _handler(store: LyingStore) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self._read_body()
            for name in ("Expect", "Transfer-Encoding", "Content-Length"):
                del self.headers[name]
            kind = store.fault(self.command, self.path)
            if kind == "store failed (503)":
                self._reply(503, {}, b"<Error><Code>SlowDown</Code></Error>")
                return
            past = store.listing(self.path) if kind == "store listed the past" else None
            answer = past or store.ask(self.command, self.path, self.headers, body)
            if self.command == "GET" and past is None:
                store.remember(self.path, answer)
            if kind == "store took it, answer lost":
                self.close_connection = True
                self.connection.close()
                return
            if kind == "store slow":
                time.sleep(SLOW_S)
            keep = (
                len(answer[2]) // 2 if kind in ("store cut a body", "store sent less than it said") else None
            )
            self._reply(*answer, keep=keep, says_less=kind == "store sent less than it said")

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_any

        def _read_body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _reply(
            self,
            status: int,
            headers: dict[str, str],
            body: bytes,
            keep: int | None = None,
            says_less: bool = False,
        ) -> None:
            self.send_response(status)
            sent = body if keep is None else body[:keep]
            length = len(sent) if says_less else len(body)
            if self.command == "HEAD":
                length = int(next((v for k, v in headers.items() if k.lower() == "content-length"), "0"))
            for name, value in headers.items():
                if name.lower() not in (
                    "content-length",
                    "transfer-encoding",
                    "connection",
                    "server",
                    "date",
                ):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(sent)
            if len(sent) < length and self.command != "HEAD":
                self.close_connection = True
                self.wfile.flush()
                self.connection.close()

        def log_message(self, *args: Any) -> None:
            return

    return Handler


@contextmanager
def lying(store: LyingStore) -> Iterator[LyingStore]:
    """Serve it on loopback for the time of the block."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:
            return

    server = Quiet(("127.0.0.1", 0), _handler(store))
    store.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        with suppress(OSError):
            server.server_close()
        thread.join()
