"""A line of the log for each request, and the request's id in every record written while it is answered."""

import logging
import re
import secrets
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fo1_data.logs import about

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OFTEN = ("/healthz", "/readyz", "/metrics", "/static/")
_access = logging.getLogger("fo1.access")


class RequestLog:
    """Gives each request an id (`X-Request-Id`: the sender's, else a new one) and writes a line about it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        identifier = _id_of(scope)
        answer = {"status": 0, "bytes": 0}

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer["status"] = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", identifier.encode())]
            else:
                answer["bytes"] += len(message.get("body", b""))
            await send(message)

        with about(request=identifier):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                level = logging.DEBUG if scope["path"].startswith(_OFTEN) else logging.INFO
                if _access.isEnabledFor(level):
                    seconds = time.perf_counter() - started_s
                    _access.log(level, *_line(scope, answer, seconds), extra={"about": _fields(scope)})


def _id_of(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value.decode("latin-1")):
            return str(value.decode())
    return secrets.token_hex(8)


def _line(scope: Scope, answer: dict[str, int], seconds: float) -> tuple[Any, ...]:
    path = scope.get("raw_path", b"").decode("ascii", "replace")  # still quoted: no line break in it
    values = (scope["method"], path, answer["status"], 1000 * seconds, answer["bytes"])
    return ("%s %s %d %.1f ms %d bytes", *values)


def _fields(scope: Scope) -> dict[str, Any]:
    """Return what a request is about, without its query, which may hold a signature."""
    fields = {name.removesuffix("_id"): value for name, value in scope.get("path_params", {}).items()}
    client, key = scope.get("client"), scope.get("fo1_key")
    return fields | ({"key": key} if key else {}) | ({"client": client[0]} if client else {})
