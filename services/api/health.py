"""`/healthz` (the process answers), `/readyz` (so do database and home), `/metrics`. They need no key."""

from contextlib import suppress

from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from services.context import InContext
from services.database.queue_figures import QueueFigures, read_queues
from services.metrics import Metrics
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
    with suppress(SQLAlchemyError, OSError):  # the last figures stay; `fo1_down` tells
        if context.metrics.need_queues():
            _set_figures(context.metrics, await context.database.read(read_queues))
    context.metrics.down.set(len(context.outages.present))
    return Response(context.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _set_figures(metrics: Metrics, figures: QueueFigures) -> None:
    for queue, size in figures.sizes.items():
        metrics.queue_sizes.labels(queue).set(size)
        metrics.queue_ages.labels(queue).set(figures.ages_s[queue])
    for state, count in figures.items.items():
        metrics.review_items.labels(state).set(count)
