"""`Idempotency-Key`: a creating POST repeated with the same key returns the first answer again.

A key belongs to the caller, the project and the route; with another body it is refused (422). The answer is
stored in the same transaction that creates the object, so that either both exist or neither.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Header, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from services.database.engine import Database
from services.database.locks import lock_name
from services.database.models import DEFAULT_PROJECT, IdempotentAnswer, utc_now
from services.problems import Problem
from services.security.keys import Caller

KEPT_FOR = timedelta(days=7)
REPLAYED = {"Idempotent-Replay": "true"}
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Any text of your choice. The same request sent again with it creates nothing new.",
    ),
]


async def earlier_answer(
    database: Database, caller: Caller, request: Request, key: str | None, body: BaseModel
) -> JSONResponse | None:
    """Return the answer already given under this key, or None.

    Call it before checking a body against the current state, which may have changed since.
    """
    if key is None:
        return None
    async with database.reading() as session:
        earlier = await session.get(IdempotentAnswer, (caller.key_id, _route(caller, request), key))
    return None if earlier is None else _replay(earlier, _digest(body))


async def answer_once(
    session: AsyncSession,
    caller: Caller,
    request: Request,
    key: str | None,
    body: BaseModel,
    create: Callable[[], Awaitable[BaseModel]],
    status: int = 201,
) -> JSONResponse:
    """Return the answer of `create`, or the one it gave before under the same key."""
    if key is None:
        return JSONResponse(jsonable_encoder(await create()), status)
    identity = (caller.key_id, _route(caller, request), key)
    body_sha256 = _digest(body)
    await lock_name(session, "\n".join(identity))
    earlier = await session.get(IdempotentAnswer, identity)
    if earlier is not None:
        return _replay(earlier, body_sha256)
    answer: Any = jsonable_encoder(await create())
    row = IdempotentAnswer(
        api_key_id=identity[0],
        route=identity[1],
        key=key,
        body_sha256=body_sha256,
        status=status,
        answer=answer,
    )
    session.add(row)
    await session.execute(delete(IdempotentAnswer).where(IdempotentAnswer.created_at < utc_now() - KEPT_FOR))
    return JSONResponse(answer, status)


def _route(caller: Caller, request: Request) -> str:
    """Return the path, with the project unless it is the default: a key of the service works in several."""
    path = request.url.path
    return path if caller.project_id == DEFAULT_PROJECT else f"{caller.project_id} {path}"


def _digest(body: BaseModel) -> str:
    return hashlib.sha256(json.dumps(body.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def _replay(earlier: IdempotentAnswer, body_sha256: str) -> JSONResponse:
    if earlier.body_sha256 != body_sha256:
        raise Problem(422, "this Idempotency-Key was used for another request")
    return JSONResponse(earlier.answer, earlier.status, REPLAYED)
