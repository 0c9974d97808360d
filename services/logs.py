"""The service's log: one line a record on standard error, as text or as JSON, and a line for each request.

A record has time (UTC), level, logger and message, and what it is about: request, job, review, dataset, key.
"""

import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ABOUT: ContextVar[dict[str, Any] | None] = ContextVar("fo1_log_about", default=None)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OFTEN = ("/healthz", "/readyz", "/metrics", "/static/")
_access = logging.getLogger("fo1.access")


class LogFormat(StrEnum):
    """How the log is written."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The least level that is written. `INFO` includes a line for each request."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """Add `fields` (`job`, `review`, ...) to the records written during a `with` block."""
    token = _ABOUT.set({**(_ABOUT.get() or {}), **fields})
    try:
        yield
    finally:
        _ABOUT.reset(token)


def request_id() -> str | None:
    """Return the id of the request that is being answered, or None."""
    found: str | None = (_ABOUT.get() or {}).get("request")
    return found


@contextmanager
def logging_to_stderr(log_format: LogFormat, level: LogLevel) -> Iterator[None]:
    """Write the log of this process during a `with` block; other libraries' records from WARNING up."""
    handler = _StderrHandler()
    handler.setFormatter(_JsonFormatter() if log_format is LogFormat.JSON else _TextFormatter())
    root, own = logging.getLogger(), logging.getLogger("fo1")
    level_before = own.level
    own.setLevel(level.upper())
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        own.setLevel(level_before)


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


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to what standard error is at that time."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


class _Formatter(logging.Formatter):
    def record_fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return what the record is about."""
        return {**(_ABOUT.get() or {}), **getattr(record, "about", {})}

    def record_time(self, record: logging.LogRecord) -> str:
        """Return the time in UTC with milliseconds."""
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.record_time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self.record_fields(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _TextFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={_plain(value)}" for name, value in self.record_fields(record).items())
        message = " | ".join(record.getMessage().splitlines())
        line = f"{self.record_time(record)} {record.levelname:<7} {message}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _plain(value: Any) -> str:
    text = str(value)
    return text if text.isprintable() and " " not in text else json.dumps(text)
