"""Dependencies of endpoints: a database session, and a caller with the required scope."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

from services.context import Context, InContext, context_of
from services.problems import Problem
from services.security.keys import Caller, Scope, read_caller
from services.security.projects import PROJECT_HEADER, find_project

_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="An API key of `fo1 keys create`.")


async def reading_session(context: InContext) -> AsyncIterator[AsyncSession]:
    async with context.database.reading() as session:
        yield session


async def writing_session(context: InContext) -> AsyncIterator[AsyncSession]:
    async with context.database.writing() as session:
        yield session


# Scope "function": the session has committed before the answer leaves.
ReadSession = Annotated[AsyncSession, Depends(reading_session, scope="function")]
WriteSession = Annotated[AsyncSession, Depends(writing_session, scope="function")]


async def _caller(
    request: Request, context: Context, credentials: HTTPAuthorizationCredentials | None
) -> Caller:
    if credentials is None:
        raise Problem(401, "no key: send Authorization: Bearer KEY", {"WWW-Authenticate": "Bearer"})
    key = credentials.credentials
    caller = await context.database.read(lambda connection: read_caller(connection, key))
    if caller is None:
        raise wrong_key(request, context)
    request.scope["fo1_key"] = caller.key_id
    return await in_project(request, context, caller)


async def in_project(request: Request, context: Context, caller: Caller) -> Caller:
    """Return the caller in the project that a request names in its header; without one, in that of the key.

    Raises a Problem of 404 if there is no such project, or the key may not work in it.
    """
    name = request.headers.get(PROJECT_HEADER)
    if name is None:
        return caller
    async with context.database.reading() as session:
        project = await find_project(session, name)
    if project is None or not (caller.of_service or project.id == caller.project_id):
        raise Problem(404, "no project has this name")
    return replace(caller, project_id=project.id)


async def caller_of_request(request: Request, context: Context) -> Caller:
    """Return the caller of a request, for endpoints that also admit without a key. Raises a Problem: 401."""
    return await _caller(request, context, await _bearer(request))


def wrong_key(request: Request, context: Context, challenge: dict[str, str] | None = None) -> Problem:
    """Return the answer to a wrong key: 401, or 429 after too many from the same address.

    `challenge`: the header that says how to send a key, if not as a bearer token.
    """
    context.metrics.key_failures.inc()
    wait_s = context.key_failures.record(request.client.host if request.client else "")
    if wait_s is not None:
        return Problem(429, "too many wrong keys from this address", {"Retry-After": str(int(wait_s) + 1)})
    return Problem(
        401,
        "this key is unknown or revoked",
        challenge or {"WWW-Authenticate": 'Bearer error="invalid_token"'},
    )


Admit = Callable[[Request, Context], Awaitable[object]]
_admits: dict[Any, Admit] = {}


def guard(check: Any, admit: Admit) -> Any:
    """Return the dependency `check`, which admits or refuses callers; `admit` does so without FastAPI."""
    _admits[check] = admit
    return Depends(check)


async def admit(request: Request) -> None:
    """Check the caller of a request whose body or path is already known to be wrong.

    Raises the Problem (401, 403, 429) that the guard of the route would raise. Under /v1, unknown paths and
    methods need a key too.
    """
    context = context_of(request)
    route = request.scope.get("route")
    if isinstance(route, APIRoute) and request.method in (route.methods or ()):
        for guard_admit in _guards_of(route.dependant):
            await guard_admit(request, context)
    elif request.url.path.startswith("/v1/"):
        await caller_of_request(request, context)


def _guards_of(dependant: Dependant) -> Iterator[Admit]:
    for dependency in dependant.dependencies:
        if dependency.call in _admits:
            yield _admits[dependency.call]
        yield from _guards_of(dependency)


def requires(*scopes: Scope) -> Any:
    """Return a dependency: the caller, whose key must have one of `scopes`."""

    # One dependency with one of its own: FastAPI's time for each is longer than the look-up of the key.
    async def check(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None
    ) -> Caller:
        return allowed(await _caller(request, context_of(request), credentials))

    async def admit_caller(request: Request, context: Context) -> Caller:
        return allowed(await caller_of_request(request, context))

    def allowed(caller: Caller) -> Caller:
        if not any(caller.may(scope) for scope in scopes):
            raise Problem(403, f"this key lacks the scope {' or '.join(scopes)}")
        return caller

    return guard(check, admit_caller)


Reader = Annotated[Caller, requires(Scope.READ)]
Labeller = Annotated[Caller, requires(Scope.LABEL)]
Reviewer = Annotated[Caller, requires(Scope.REVIEW)]
Admin = Annotated[Caller, requires(Scope.ADMIN)]
LabellerOrReviewer = Annotated[Caller, requires(Scope.LABEL, Scope.REVIEW)]
