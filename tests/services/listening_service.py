"""A service that listens on a real port, in a thread of its own."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from services.app import create_app
from services.context import Context
from services.security.keys import Scope, create_key
from services.server import make_server
from services.settings import Settings

WITHIN_S = 20.0
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


@dataclass
class Listening:
    """A service on a port. `key`: an admin key. `loop`: that of the service."""

    port: int
    key: str
    key_id: str
    context: Context
    loop: asyncio.AbstractEventLoop
    seconds_to_stop: float | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, headers={"Authorization": f"Bearer {self.key}"}, timeout=WITHIN_S)

    def connect(self, sent: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=WITHIN_S)
        connection.sendall(sent)
        return connection


@contextmanager
def listening(settings: Settings, loop_factory: LoopFactory | None = None) -> Iterator[Listening]:
    """Run the service, on the loop that `fo1 serve` takes by default; at the end stop it as Ctrl-C does."""
    app = create_app(settings)
    server = make_server(app)
    context: Context = app.state.context
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve(listener: socket.socket) -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve(sockets=[listener])

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def run() -> None:
        with asyncio.Runner(loop_factory=loop_factory or server.config.get_loop_factory()) as runner:
            runner.run(serve(listener))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    deadline_s = time.monotonic() + WITHIN_S
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        assert time.monotonic() < deadline_s
        time.sleep(0.01)

    async def make_key() -> tuple[str, str]:
        async with context.database.writing() as session:
            made = await create_key(session, [Scope.ADMIN])
        return made.key, made.id

    key, key_id = asyncio.run_coroutine_threadsafe(make_key(), loops[0]).result(WITHIN_S)
    service = Listening(port, key, key_id, context, loops[0])
    try:
        yield service
    finally:
        started_s = time.monotonic()
        server.should_exit = True
        thread.join(WITHIN_S)
        service.seconds_to_stop = time.monotonic() - started_s
