"""Guards connections before any application code: their number, and the time and size of what they send.

A request's head must come within `head_s` seconds and `max_head_bytes`, its body within `body_s` seconds plus
the time that its bytes take at 16 KiB/s. At the limit of connections, an idle one gives way, else the one
that has been sending its request the longest; where all are being answered, a new one is served for
`/healthz`, `/readyz` and `/metrics` only. A peer that is refused while it sends can still read why.
"""

import json
import time
from asyncio import TimerHandle, Transport
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.problems import MEDIA_TYPE, problem_document
from services.security.lingering import LingeringTransport

ALWAYS_SERVED = ("/healthz", "/readyz", "/metrics")
_BODY_BYTES_PER_S = 16 * 1024
_RETRY_S = 1.0


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of connections and of requests. Times in seconds."""

    max_connections: int
    head_s: float
    body_s: float
    max_head_bytes: int = 64 * 1024


class _Phase(Enum):
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()
    IDLE = auto()


@dataclass
class ConnectionGuard:
    """The connections of a server: those whose request is `unfinished`, and `idle` ones; oldest first."""

    limits: ConnectionLimits
    unfinished: dict["GuardedProtocol", None] = field(default_factory=dict)
    idle: dict["GuardedProtocol", None] = field(default_factory=dict)
    num_open: int = 0

    def protocol(self) -> type["GuardedProtocol"]:
        """Return the protocol class to give to uvicorn."""
        return type("GuardedProtocol", (GuardedProtocol,), {"guard": self})

    def make_room(self, newest: "GuardedProtocol") -> None:
        """Close another connection if there are too many."""
        if self.num_open <= self.limits.max_connections:
            return
        for waiting in (self.idle, self.unfinished):
            oldest = next(iter(waiting)) if waiting else None
            if oldest is not None and oldest is not newest:
                oldest.give_way()
                return
        if self.num_open <= 2 * self.limits.max_connections:
            newest.app = _only_health(newest.app)
        else:
            newest.transport.abort()


class GuardedProtocol(HttpToolsProtocol):
    """An HTTP/1.1 connection under the limits of `guard`."""

    guard: ConnectionGuard
    transport: LingeringTransport  # type: ignore[assignment]
    _phase = _Phase.HEAD
    _num_head_bytes = _num_body_bytes = 0
    _since_s = 0.0
    _timer: TimerHandle | None = None
    _counted = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(LingeringTransport(transport, self._is_unread))  # type: ignore[arg-type]
        self.guard.num_open += 1
        self._counted = True
        self._begin(_Phase.HEAD)
        self.guard.make_room(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        if self._timer is not None:
            self._timer.cancel()
        self.transport.lost()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            self.transport.discarded()
            return
        if self._phase is _Phase.IDLE:
            self._begin(_Phase.HEAD)
        super().data_received(data)
        if self._phase is _Phase.HEAD:
            self._num_head_bytes += len(data)
            if self._num_head_bytes > self.guard.limits.max_head_bytes:
                self._refuse(431, f"the head of a request may have {self.guard.limits.max_head_bytes} bytes")

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._begin(_Phase.BODY)

    def on_body(self, body: bytes) -> None:
        self._num_body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._phase = _Phase.ANSWER
        self.guard.unfinished.pop(self, None)
        self._settle()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._settle()

    def shutdown(self) -> None:
        if self._is_unread():
            self._refuse(503, "the service is stopping", b"retry-after: 5\r\n")
            self.transport.close_at_once()
        else:
            super().shutdown()

    def give_way(self) -> None:
        """Close this connection in favour of a new one."""
        self._leave()
        if self._phase is _Phase.IDLE:
            self.transport.close()
        else:
            self._refuse(503, "too many connections", b"retry-after: 5\r\n")
            self.transport.close_at_once()

    def _is_unread(self) -> bool:
        return self._phase in (_Phase.HEAD, _Phase.BODY)

    def _settle(self) -> None:
        answered = self.cycle is not None and self.cycle.response_complete
        if self._phase is _Phase.ANSWER and answered and not self.transport.is_closing():
            self._phase = _Phase.IDLE
            self.guard.idle[self] = None

    def _begin(self, phase: _Phase) -> None:
        self._phase, self._since_s = phase, time.monotonic()
        self._num_head_bytes = self._num_body_bytes = 0
        self.guard.idle.pop(self, None)
        self.guard.unfinished[self] = None
        if self._timer is None:
            self._timer = self.loop.call_later(self.guard.limits.head_s, self._check_time)

    def _check_time(self) -> None:
        """Close the connection if it is late; else look again, as long as a request is unfinished."""
        self._timer = None
        if not self._is_unread() or self.transport.is_closing():
            return
        limits = self.guard.limits
        allowed_s = limits.head_s
        if self._phase is _Phase.BODY:
            allowed_s = limits.body_s + self._num_body_bytes / _BODY_BYTES_PER_S
        left_s = self._since_s + allowed_s - time.monotonic()
        if left_s <= 0 and not self.flow.read_paused:
            part = "head" if self._phase is _Phase.HEAD else "body"
            self._refuse(408, f"the {part} of the request did not come in time")
            return
        self._timer = self.loop.call_later(max(left_s, _RETRY_S), self._check_time)

    def _refuse(self, status: int, detail: str, header: bytes = b"") -> None:
        started = self.cycle is not None and self._phase is _Phase.BODY and self.cycle.response_started
        sent_nothing = self._phase is _Phase.HEAD and not self._num_head_bytes
        if not (started or sent_nothing or self.transport.is_closing()):
            document = problem_document(status, detail)
            body = json.dumps(document).encode()
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n%sconnection: close\r\n\r\n%s"
                % (status, document["title"].encode(), MEDIA_TYPE.encode(), len(body), header, body)
            )
        self.transport.close()

    def _leave(self) -> None:
        self.guard.unfinished.pop(self, None)
        self.guard.idle.pop(self, None)
        if self._counted:
            self._counted = False
            self.guard.num_open -= 1


def _only_health(app: Any) -> ASGIApp:
    """Return an application that answers 503 except for requests about the service's health."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ALWAYS_SERVED:
            await app(scope, receive, send)
            return
        body = json.dumps(problem_document(503, "too many connections")).encode()
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"retry-after", b"5"),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer
