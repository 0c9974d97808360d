"""An HTTP server on loopback that passes requests on to a real one, or fails as it is told."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

FAULTS = ("status", "slow", "cut")


class FaultyServer:
    """Serves `files` by path, or passes on to `behind`; `faults` are used up one for each GET of a body.

    `status`: 503. `slow`: half the body, then silence until `release` is set. `cut`: half, then a reset.
    `unanswered`: so many of the next requests, of any kind, get no answer at all. `status`: the answer to
    each request while it is set.
    """

    def __init__(self, behind: str | None = None) -> None:
        self.behind = urlsplit(behind) if behind else None
        self.files: dict[str, bytes] = {}
        self.faults: list[str] = []
        self.unanswered = 0
        self.status: int | None = None
        self.requests: list[tuple[str, str]] = []
        self.release = threading.Event()
        self.honours_ranges = True
        self.declares_length = True
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        if self.behind is None:
            body = self.files.get(handler.path)
            if body is None:
                return 404, {}, b"no such file"
            wanted = handler.headers.get("Range")
            if wanted and self.honours_ranges:
                first, last = wanted.removeprefix("bytes=").split("-")
                return 206, {}, body[int(first) : int(last) + 1]
            return 200, {}, body
        connection = http.client.HTTPConnection(self.behind.hostname, self.behind.port, timeout=20)
        length = int(handler.headers.get("Content-Length") or 0)
        connection.request(handler.command, handler.path, handler.rfile.read(length), dict(handler.headers))
        response = connection.getresponse()
        body = response.read()
        headers = {
            k: v for k, v in response.getheaders() if k.lower() not in ("transfer-encoding", "connection")
        }
        connection.close()
        return response.status, headers, body


@contextmanager
def running(server: FaultyServer) -> Iterator[FaultyServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            server.requests.append((self.command, self.path))
            if server.unanswered > 0:
                server.unanswered -= 1
                self.close_connection = True
                return
            if server.status is not None:
                self.reply(server.status, {}, b"")
                return
            fault = server.faults.pop(0) if server.faults and self.command == "GET" else None
            if fault == "status":
                self.reply(503, {}, b"slow down")
                return
            self.reply(*server.answer(self), fault=fault)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_any

        def reply(self, status: int, headers: dict[str, str], body: bytes, fault: str | None = None) -> None:
            self.send_response(status)
            for key, value in headers.items():
                if key.lower() != "content-length":
                    self.send_header(key, value)
            if server.declares_length or fault:
                length = (
                    headers.get("Content-Length", str(len(body)))
                    if self.command == "HEAD"
                    else str(len(body))
                )
                self.send_header("Content-Length", length)
            else:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            if self.command == "HEAD":
                return
            if fault is None:
                self.wfile.write(body)
                return
            self.close_connection = True
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if fault == "slow":
                server.release.wait(30)
            else:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

        def log_message(self, *args: Any) -> None:
            return

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:
            return

    http_server = Quiet(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http_server.server_address[1]}"
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        http_server.shutdown()
        http_server.server_close()
        thread.join()


def waited_s(start: float) -> float:
    return time.monotonic() - start
