"""The HTTP server around the application: guarded connections, and a stop that waits for no stream."""

import resource
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from fo1_data.logs import logging_to_stderr
from services.context import Context
from services.security.connections import ConnectionGuard, ConnectionLimits
from services.settings import Settings

STOP_WITHIN_S = 10
# Files that the service needs besides connections: the database, caches, the listener.
_OTHER_FILES = 100


def run_server(app: FastAPI, listener: socket.socket) -> None:
    """Serve the application until the process is told to stop. Raises SystemExit if it does not start."""
    settings = app.state.context.settings
    server = make_server(app)
    with logging_to_stderr(settings.log_format, settings.log_level), _interrupts_of(server):
        server.run(sockets=[listener])


@contextmanager
def _interrupts_of(server: uvicorn.Server) -> Iterator[None]:
    """Let Ctrl-C stop the server in order from before its event loop runs.

    Else an interrupt in that moment cancels the start in the middle of a database step, which can leave a
    connection whose thread keeps the process alive.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, server.handle_exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def make_server(app: FastAPI) -> uvicorn.Server:
    """Return the server of an application, which has its context as `app.state.context`."""
    context: Context = app.state.context
    guard = ConnectionGuard(connection_limits(context.settings, _allow_files()))
    context.metrics.connections.set_function(lambda: guard.num_open)
    config = uvicorn.Config(
        app,
        http=guard.protocol(),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_WITHIN_S,
    )
    return _Server(config, context)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, context: Context) -> None:
        super().__init__(config)
        self._context = context

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._context.events.close()
        await super().shutdown(sockets)


def connection_limits(settings: Settings, max_files: int) -> ConnectionLimits:
    """Return the limits of the settings, as far as the process may open files (`max_files`)."""
    # Up to twice as many connections are open for a moment: see `ConnectionGuard`.
    possible = max(1, (max_files - _OTHER_FILES) // 2)
    return ConnectionLimits(
        min(settings.max_connections, possible), settings.request_head_s, settings.request_body_s
    )


def _allow_files() -> int:
    """Raise this process's limit of open files to what it may have; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return hard
