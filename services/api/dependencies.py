"""What endpoints ask for: a session, and a caller that may do what the endpoint does."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

from services.context import Context, InContext, context_of
from services.problems import Problem
from services.security.keys import Caller, Scope, find_caller

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
    request: Request,
    context: InContext,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
) -> Caller:
    if given is None:
        raise Problem(401, "no key: send Authorization: Bearer KEY", {"WWW-Authenticate": "Bearer"})
    async with context.database.reading() as session:
        caller = await find_caller(session, given.credentials)
    if caller is None:
        raise wrong_key(request, context)
    return caller


async def caller_of_request(request: Request, context: Context) -> Caller:
    """Who asks, for endpoints that a key is only one way into. Raises a Problem of 401."""
    return await _caller(request, context, await _bearer(request))


def wrong_key(request: Request, context: Context, challenge: dict[str, str] | None = None) -> Problem:
    """What a wrong key is answered: 401, or 429 where there were too many from the same address.

    `challenge`: the header that tells how a key is given, where it is not as a bearer's token.
    """
    context.metrics.key_failures.inc()
    wait_s = context.key_failures.failed(request.client.host if request.client else "")
    if wait_s is not None:
        return Problem(429, "too many wrong keys from here", {"Retry-After": str(int(wait_s) + 1)})
    return Problem(
        401,
        "this key is unknown or revoked",
        challenge or {"WWW-Authenticate": 'Bearer error="invalid_token"'},
    )


Admit = Callable[[Request, Context], Awaitable[object]]
_admits: dict[Any, Admit] = {}


def guard(check: Any, admit: Admit) -> Any:
    """The dependency `check`, which judges who asks; `admit` does the same without FastAPI."""
    _admits[check] = admit
    return Depends(check)


async def admit(request: Request) -> None:
    """Judge who asks before what is asked: for requests whose body or path is wrong already.

    Raises the Problem (401, 403, 429) that the guard of the route would. Under /v1 a path or a method that
    there is not takes a key too.
    """
    context = context_of(request)
    route = request.scope.get("route")
    if isinstance(route, APIRoute) and request.method in (route.methods or ()):
        for found in _guards_of(route.dependant):
            await found(request, context)
    elif request.url.path.startswith("/v1/"):
        await caller_of_request(request, context)


def _guards_of(dependant: Dependant) -> Iterator[Admit]:
    for one in dependant.dependencies:
        if one.call in _admits:
            yield _admits[one.call]
        yield from _guards_of(one)


def requires(*scopes: Scope) -> Any:
    """A dependency: the caller, whose key must include one of `scopes`."""

    async def check(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
        if not any(caller.may(scope) for scope in scopes):
            raise Problem(403, f"this key lacks the scope {' or '.join(scopes)}")
        return caller

    async def admit_caller(request: Request, context: Context) -> Caller:
        return await check(await caller_of_request(request, context))

    return guard(check, admit_caller)


Reader = Annotated[Caller, requires(Scope.READ)]
Labeller = Annotated[Caller, requires(Scope.LABEL)]
Reviewer = Annotated[Caller, requires(Scope.REVIEW)]
Admin = Annotated[Caller, requires(Scope.ADMIN)]
LabellerOrReviewer = Annotated[Caller, requires(Scope.LABEL, Scope.REVIEW)]
