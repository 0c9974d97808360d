"""The log of a process: one line a record on standard error, as text or as JSON.

A record has time (UTC), level, logger and message, and what it is about: request, job, run, shard, image,
review, dataset, key.
"""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from fo1_data.errors import ConfigError

_Choice = TypeVar("_Choice", "LogFormat", "LogLevel")
_ABOUT: ContextVar[dict[str, Any] | None] = ContextVar("fo1_log_about", default=None)
LEVEL, FORMAT = "FO1_LOG_LEVEL", "FO1_LOG_FORMAT"
# Without any handler, Python itself would write warnings to standard error.
logging.getLogger("fo1").addHandler(logging.NullHandler())


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


@contextmanager
def log_if_asked() -> Iterator[None]:
    """Write the log during a `with` block if FO1_LOG_LEVEL or FO1_LOG_FORMAT is set and not empty.

    Raises ConfigError if one of them is none of the known values.
    """
    if not (os.environ.get(LEVEL) or os.environ.get(FORMAT)):
        yield
        return
    log_format = _chosen(FORMAT, LogFormat, LogFormat.TEXT)
    with logging_to_stderr(log_format, _chosen(LEVEL, LogLevel, LogLevel.INFO)):
        yield


def _chosen(name: str, kind: type[_Choice], default: _Choice) -> _Choice:
    value = os.environ.get(name) or default
    try:
        return kind(value.lower())
    except ValueError:
        raise ConfigError(f"{name} is {value!r}: choose one of {', '.join(kind)}") from None


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
