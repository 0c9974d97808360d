"""What endpoints ask for: a session, and a caller that may do what the endpoint does."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

from services.context import Context, InContext
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


def wrong_key(request: Request, context: Context) -> Problem:
    """What a wrong key is answered: 401, or 429 where there were too many from the same address."""
    context.metrics.key_failures.inc()
    wait_s = context.key_failures.failed(request.client.host if request.client else "")
    if wait_s is not None:
        return Problem(429, "too many wrong keys from here", {"Retry-After": str(int(wait_s) + 1)})
    return Problem(
        401, "this key is unknown or revoked", {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    )


def requires(*scopes: Scope) -> Any:
    """A dependency: the caller, whose key must include one of `scopes`."""

    async def check(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
        if not any(caller.may(scope) for scope in scopes):
            raise Problem(403, f"this key lacks the scope {' or '.join(scopes)}")
        return caller

    return Depends(check)


Reader = Annotated[Caller, requires(Scope.READ)]
Labeller = Annotated[Caller, requires(Scope.LABEL)]
Reviewer = Annotated[Caller, requires(Scope.REVIEW)]
Admin = Annotated[Caller, requires(Scope.ADMIN)]
LabellerOrReviewer = Annotated[Caller, requires(Scope.LABEL, Scope.REVIEW)]
