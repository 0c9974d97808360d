"""A small server that speaks OpenAI's chat protocol, over a function that answers pictures."""

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

Answer = Callable[[Image.Image, str], str | None]


@dataclass
class ChatServer:
    """answer: what is said of a picture and a text. refusals: the statuses of the next requests.
    documents: what the next requests are answered with, as JSON."""

    answer: Answer
    models: list[str] = field(default_factory=lambda: ["tiny"])
    refusals: list[int] = field(default_factory=list)
    documents: list[object] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    asked: int = 0
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def document(self, body: dict[str, object]) -> dict[str, object]:
        picture, text = body["messages"][0]["content"]  # type: ignore[index]
        assert body["temperature"] == 0
        assert body["model"] in self.models
        data = base64.b64decode(picture["image_url"]["url"].removeprefix("data:image/png;base64,"))
        said = self.answer(Image.open(io.BytesIO(data)), text["text"])
        return {"choices": [{"message": {"role": "assistant", "content": said}}]}


@contextmanager
def chat_server(answer: Answer) -> Iterator[ChatServer]:
    server = ChatServer(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({"data": [{"id": name} for name in server.models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._reply(server.document(body))

        def _reply(self, document: object) -> None:
            with server.lock:
                document = server.documents.pop(0) if server.documents else document
                server.asked += self.command == "POST"
                server.keys.append(self.headers.get("Authorization"))
                status = server.refusals.pop(0) if server.refusals else 200
            data = json.dumps(document).encode()
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "7")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
