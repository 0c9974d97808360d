"""`/healthz` (the process answers), `/readyz` (the database answers), `/metrics`. They need no key."""

import asyncio

from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from services.context import InContext
from services.problems import Problem

router = APIRouter(tags=["health"])
_TIMEOUT_S = 5.0


class Health(BaseModel):
    """`status` is `ok`."""

    status: str = "ok"


@router.get("/healthz")
async def healthz() -> Health:
    """The process answers."""
    return Health()


@router.get("/readyz", responses={503: {"description": "The database does not answer."}})
async def readyz(context: InContext) -> Health:
    """The database answers."""
    try:
        async with asyncio.timeout(_TIMEOUT_S), context.database.reading() as session:
            await session.execute(text("SELECT 1"))
    except (SQLAlchemyError, OSError, TimeoutError):
        raise Problem(503, "the database does not answer") from None
    return Health()


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(context: InContext) -> Response:
    """The Prometheus metrics of this process."""
    return Response(context.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
