"""`/v1/plans`, `/v1/merges`, `/v1/routings`, `/v1/comparisons`: work that outlasts a request; its results."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from services.api.dependencies import Labeller, Reader, ReadSession, Reviewer
from services.api.documented import CONFLICT, NOT_FOUND
from services.api.jobs import JobRequest
from services.api.operation_requests import (
    CompareRequest,
    MergeRequest,
    OperationRequest,
    RouteRequest,
    checked_request,
    create_operation,
)
from services.context import Context, InContext
from services.database.operation_tables import Operation, OperationKind, OperationState
from services.idempotency import IdempotencyKey, answer_once, earlier_answer
from services.identifiers import OperationId
from services.operations import repository
from services.paging import Cursor, Limit, Page, cursor_of, cut, values_of
from services.problems import Problem
from services.security.keys import Caller

router = APIRouter(prefix="/v1", tags=["operations"])


class OperationView(BaseModel):
    """A plan, merge, routing or comparison. `progress`: its last line. `error`: why it failed.

    `result`: the JSON of `fo1 plan`, `fo1 dataset merge`, `fo1 route` or `fo1 dataset diff`. A merge's and a
    routing's have the id of the new version as `dataset_id`, a comparison's at most 500 images of each kind.
    """

    id: str
    kind: OperationKind
    state: OperationState
    request: dict[str, Any]
    progress: str | None
    result: dict[str, Any] | None
    error: str | None
    created_by: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, operation: Operation) -> "OperationView":
        """Return the view of a row."""
        return cls(**{name: getattr(operation, name) for name in cls.model_fields})


@router.post("/plans", status_code=202, response_model=OperationView, responses=NOT_FOUND)
async def plan_job(
    caller: Labeller, body: JobRequest, context: InContext, request: Request, key: IdempotencyKey = None
) -> Response:
    """Check a run before it starts: images, bad files, duplicates, time. The body is that of a job."""
    return await _queue(context, caller, request, key, body)


@router.post("/merges", status_code=202, response_model=OperationView, responses={**NOT_FOUND, **CONFLICT})
async def merge_corrections(
    caller: Reviewer, body: MergeRequest, context: InContext, request: Request, key: IdempotencyKey = None
) -> Response:
    """Merge the corrections of a review into the next version, which is registered when it is done."""
    return await _queue(context, caller, request, key, body)


@router.post("/routings", status_code=202, response_model=OperationView, responses={**NOT_FOUND, **CONFLICT})
async def route_dataset(
    caller: Labeller, body: RouteRequest, context: InContext, request: Request, key: IdempotencyKey = None
) -> Response:
    """Decide again which labels of a dataset are accepted, into a version that is registered at the end."""
    return await _queue(context, caller, request, key, body)


@router.post("/comparisons", status_code=202, response_model=OperationView, responses=NOT_FOUND)
async def compare_datasets(
    caller: Reader, body: CompareRequest, context: InContext, request: Request, key: IdempotencyKey = None
) -> Response:
    """Compare two datasets image by image."""
    return await _queue(context, caller, request, key, body)


@router.get("/operations")
async def list_operations(
    caller: Reader, session: ReadSession, limit: Limit = 50, cursor: Cursor = None
) -> Page[OperationView]:
    """All plans, merges, routings and comparisons, newest first."""
    after = values_of(cursor, str)
    last = after[0] if after else None
    rows = await repository.list_operations(session, caller.project_id, limit + 1, last)
    page, more = cut(list(rows), limit)
    items = [OperationView.of(operation) for operation in page]
    return Page(items=items, next_cursor=cursor_of(page[-1].id) if more else None)


@router.get("/operations/{operation_id}", responses=NOT_FOUND)
async def get_operation(caller: Reader, session: ReadSession, operation_id: OperationId) -> OperationView:
    """A plan, merge, routing or comparison, with its result once it is done."""
    operation = await repository.operation_of_project(session, caller.project_id, operation_id)
    if operation is None:
        raise Problem(404, f"no operation has the id {operation_id}")
    return OperationView.of(operation)


async def _queue(
    context: Context,
    caller: Caller,
    request: Request,
    key: str | None,
    body: OperationRequest,
) -> Response:
    earlier = await earlier_answer(context.database, caller, request, key, body)
    if earlier is not None:
        return earlier
    checked = await checked_request(context, caller, body)

    async def create() -> OperationView:
        return OperationView.of(await create_operation(session, caller, body, checked))

    async with context.database.writing() as session:
        answer = await answer_once(session, caller, request, key, body, create, 202)
    context.operations.wake()
    return answer
