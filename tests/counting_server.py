"""A slow web server over a folder: it counts requests, those at one time, and the bytes it sends."""

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


@dataclass
class CountingServer:
    """Serves the files of a folder, each request `delay_s` late; counts requests and those at one time.

    ranges: whether it answers requests for a part with the part.
    """

    folder: Path
    delay_s: float = 0.0
    ranges: bool = False
    url: str = ""
    num_bytes: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0
    _open: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, name: str) -> bytes:
        with self._lock:
            self.requests[name] += 1
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
        time.sleep(self.delay_s)
        with self._lock:
            self._open -= 1
        return (self.folder / name).read_bytes()


@contextmanager
def counting_server(folder: Path, delay_s: float = 0.0, ranges: bool = False) -> Iterator[CountingServer]:
    server = CountingServer(folder, delay_s, ranges)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = server.serve(self.path.strip("/"))
            wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if wanted and server.ranges:
                first, last = int(wanted[1]), min(int(wanted[2]), len(data) - 1)
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
                data = data[first : last + 1]
            else:
                self.send_response(200)
            server.num_bytes += len(data)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            return

    http = _Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{http.server_port}"
    yield server
    http.shutdown()
    http.server_close()
