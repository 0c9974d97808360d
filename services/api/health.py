"""`/healthz` (the process answers), `/readyz` (so do database and home), `/metrics`. They need no key."""

from fastapi import APIRouter, Response
from pydantic import BaseModel

from services.context import InContext
from services.problems import RETRY, Problem

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """`status` is `ok`."""

    status: str = "ok"


@router.get("/healthz")
async def healthz() -> Health:
    """The process answers."""
    return Health()


@router.get("/readyz", responses={503: {"description": "Something the service needs is down."}})
async def readyz(context: InContext) -> Health:
    """The database answers, and the home can be written."""
    down = await context.outages.check()
    if down:
        raise Problem(503, "; ".join(down), RETRY)
    return Health()


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(context: InContext) -> Response:
    """The Prometheus metrics of this process."""
    return Response(context.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
