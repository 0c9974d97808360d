"""Every error of the HTTP surface as an RFC 9457 problem document (`application/problem+json`).

`Problem` is what endpoints and services raise; other errors are turned into one here. Nothing of an
unexpected exception reaches the client but that it happened.
"""

import logging
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from fo1_data.errors import Fo1Error, StorageError, UsageError

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("fo1.service")


class ProblemDocument(BaseModel):
    """An error. `detail` is one line for a person; `errors` names what is wrong with a body's fields."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = None


class Problem(Exception):
    """An answer of `status` that says `detail`; `more` are further members of the document."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.more = more


def problem_response(
    status: int, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> JSONResponse:
    """The problem document as a response."""
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse({**document, **more}, status, headers, media_type=MEDIA_TYPE)


def install_problems(
    app: FastAPI, page: Callable[[int, str, str], Response], admit: Callable[[Request], Awaitable[None]]
) -> None:
    """Turn every exception of `app` into a problem document; of a person's page into `page`.

    `page` takes status, title and detail. `admit` raises a Problem where who asks has no right to be told
    what is wrong with the request.
    """
    app.state.problem_page, app.state.admit = page, admit
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Fo1Error, _on_ours)
    app.add_exception_handler(Exception, _on_unexpected)


def field_errors(found: Any) -> list[dict[str, Any]]:
    """Pydantic's findings as `field`, `message`, without what was sent (it may be a secret)."""
    return [
        {
            "field": ".".join(str(part) for part in one["loc"] if part != "body"),
            "message": one["msg"].removeprefix("Value error, "),
        }
        for one in found
    ]


def told(errors: list[dict[str, Any]]) -> str:
    """The findings in one line."""
    return "; ".join(
        f"{one['field']}: {one['message']}" if one["field"] else one["message"] for one in errors
    )


def _is_api(request: Request) -> bool:
    return request.url.path.startswith(("/v1", "/ml"))


def _wants_page(request: Request) -> bool:
    return not _is_api(request) and "text/html" in request.headers.get("accept", "")


async def _refused(request: Request) -> Response | None:
    """The answer to a request that was not to be judged at all; None where who asks may be told."""
    if not _is_api(request):
        return None
    try:
        await request.app.state.admit(request)
    except Problem as problem:
        return await _on_problem(request, problem)
    return None


def _answer(
    request: Request, status: int, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    if _wants_page(request):
        made: Response = request.app.state.problem_page(status, HTTPStatus(status).phrase, detail)
        return made
    return problem_response(status, detail, headers, **more)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _answer(request, error.status, error.detail, error.headers, **error.more)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code in (400, 404, 405) and (refused := await _refused(request)) is not None:
        return refused
    headers = dict(error.headers) if error.headers else None
    if error.status_code == 405:
        headers = {"Allow": ", ".join(sorted(_methods_of(request)))}
    return _answer(request, error.status_code, str(error.detail), headers)


def _methods_of(request: Request) -> set[str]:
    """What the path takes, over all routes: each route alone knows only its own."""
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
    return _answer(request, 422, told(errors)[:1000] or "the request is not valid", errors=errors)


async def _on_ours(request: Request, error: Exception) -> Response:
    if isinstance(error, StorageError):
        return _answer(request, 503, str(error))
    return _answer(request, 422 if isinstance(error, UsageError) else 500, str(error))


async def _on_unexpected(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(request, 500, "something unexpected went wrong; the service's log says what")
