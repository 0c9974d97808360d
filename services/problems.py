"""Every error of the HTTP API as an RFC 9457 problem document (`application/problem+json`).

Endpoints and services raise `Problem`; other exceptions are converted here. Of an unexpected exception the
client learns only that it happened. Messages of the library name settings as command-line options
(`--max-error`); for HTTP users they become JSON fields (`max_error`).
"""

import json
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import AfterValidator, BaseModel, ConfigDict
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from fo1_data.errors import Fo1Error, StorageError, UsageError
from schemas.problems import message_of

MEDIA_TYPE = "application/problem+json"
RETRY = {"Retry-After": "5"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]*)")
_WHOLE_BODY = "the body must be sent with Content-Type: application/json and be"
_log = logging.getLogger("fo1.service")


class ProblemDocument(BaseModel):
    """An error. `detail`: one line for people. `errors`: what is wrong with which fields of the body."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = None


class Problem(Exception):
    """Answers with `status` and `detail`; `more` are further members of the document."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.more = more


class _ProblemResponse(JSONResponse):
    """In ASCII: a message may quote what cannot be encoded, such as half of a surrogate pair."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def is_whole_text(text: str) -> bool:
    """Return whether a text can be stored and sent: it has no half of a surrogate pair."""
    return not _SURROGATE.search(text)


def _kept_text(text: str) -> str:
    if "\0" in text or not is_whole_text(text):
        raise ValueError("a text must not contain NUL characters or halves of surrogate pairs")
    return text


# A text of a request that the database keeps or compares: one that every database takes.
KeptText = Annotated[str, AfterValidator(_kept_text)]


def problem_response(
    status: int, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> JSONResponse:
    """Return a problem document as a response."""
    document = {**problem_document(status, detail), **more}
    return _ProblemResponse(document, status, headers, media_type=MEDIA_TYPE)


def problem_document(status: int, detail: str) -> dict[str, Any]:
    """Return a problem document."""
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}


def install_problems(
    app: FastAPI,
    page: Callable[[Request, int, str, str], Awaitable[Response]],
    admit: Callable[[Request], Awaitable[None]],
    notice: Callable[[BaseException], str | None],
) -> None:
    """Turn every exception of `app` into a problem document, or for browsers into an HTML page.

    `notice` returns in words what is down, if an exception comes from that: the answer is 503.

    `page` makes the page of the request, status, title and detail. `admit` raises a Problem if the caller
    may not learn what is wrong with the request.
    """
    app.state.problem_page, app.state.admit, app.state.notice = page, admit, notice
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Fo1Error, _on_library_error)
    app.add_exception_handler(SQLAlchemyError, _on_outage)
    app.add_exception_handler(OSError, _on_outage)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_unexpected)


def field_errors(errors: Any) -> list[dict[str, Any]]:
    """Return pydantic's errors as `field` and `message`, without the value sent (it may be a secret)."""
    return [{"field": _field_of(error), "message": http_message(_message_of(error))} for error in errors]


def _field_of(error: Any) -> str:
    """The path of a field. What is no JSON has none: pydantic gives the place of the fault."""
    if error["type"] == "json_invalid":
        return ""
    return ".".join(str(part) for part in error["loc"] if part != "body")


def _message_of(error: Any) -> str:
    if error["type"] == "json_invalid":
        reason = error.get("ctx", {}).get("error", error["msg"])
        return f"the body is not JSON: {reason} (character {error['loc'][-1]})"
    is_whole = tuple(error["loc"]) == ("body",)
    if error["type"] == "model_attributes_type" or (error["type"] == "missing" and is_whole):
        return f"{_WHOLE_BODY if is_whole else 'must be'} a JSON object"
    return message_of(error)


def field_errors_text(errors: list[dict[str, Any]]) -> str:
    """Return the errors of fields in one line."""
    return "; ".join(
        f"{error['field']}: {error['message']}" if error["field"] else error["message"] for error in errors
    )


def http_message(message: str) -> str:
    """Return a message of the library with command-line options as JSON fields."""
    return _OPTION.sub(lambda option: option[1].replace("-", "_"), message)


def _is_api(request: Request) -> bool:
    return request.url.path.startswith(("/v1", "/ml"))


def _wants_page(request: Request) -> bool:
    return not _is_api(request) and "text/html" in request.headers.get("accept", "")


async def _refused(request: Request) -> Response | None:
    """Return the answer to a caller who may not learn what is wrong with the request; else None."""
    if not _is_api(request):
        return None
    try:
        await request.app.state.admit(request)
    except Problem as problem:
        return await _on_problem(request, problem)
    return None


async def _answer(
    request: Request, status: int, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    if _wants_page(request):
        with suppress(SQLAlchemyError, OSError):  # the frame of the page may need what is down
            page: Response = await request.app.state.problem_page(
                request, status, HTTPStatus(status).phrase, detail
            )
            page.headers.update(headers or {})
            return page
    return problem_response(status, detail, headers, **more)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return await _answer(request, error.status, error.detail, error.headers, **error.more)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code in (400, 404, 405) and (refused := await _refused(request)) is not None:
        return refused
    headers = dict(error.headers) if error.headers else None
    if error.status_code == 405:
        headers = {"Allow": ", ".join(sorted(_methods_of(request)))}
    return await _answer(request, error.status_code, str(error.detail), headers)


def _methods_of(request: Request) -> set[str]:
    """Return the methods of the path over all routes: one route knows only its own."""
    paths: dict[str, Any] = request.app.openapi()["paths"]
    for path, operations in paths.items():
        pattern = "[^/]+".join(re.escape(part) for part in re.split(r"\{[^}]*\}", path))
        if re.fullmatch(pattern, request.url.path):
            return {method.upper() for method in operations}
    return {"GET"}


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if (refused := await _refused(request)) is not None:
        return refused
    errors = field_errors(error.errors())
    return await _answer(
        request, 422, field_errors_text(errors)[:1000] or "the request is not valid", errors=errors
    )


async def _on_library_error(request: Request, error: Exception) -> Response:
    usage_status = 422 if isinstance(error, UsageError) else 500
    if isinstance(error, StorageError):
        return await _answer(request, 503, http_message(str(error)), RETRY)
    return await _answer(request, usage_status, http_message(str(error)))


async def _on_outage(request: Request, error: Exception) -> Response:
    reason = request.app.state.notice(error)
    if reason is None:
        return await _on_unexpected(request, error)
    return await _answer(request, 503, f"{reason}; try again later", RETRY)


async def _on_disconnect(request: Request, error: Exception) -> Response:
    return problem_response(400, "the connection ended before the request did")


async def _on_unexpected(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return await _answer(request, 500, "an unexpected error occurred; see the service's log")
