"""`/v1/plans`, `/v1/merges`, `/v1/comparisons`: work that takes longer than a request, and its results."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.dependencies import Labeller, Reader, ReadSession, Reviewer
from services.api.documented import CONFLICT, NOT_FOUND
from services.api.jobs import JobRequest, checked_run
from services.context import Context, InContext
from services.database.locks import lock_name
from services.database.operation_tables import Operation, OperationKind, OperationState
from services.datasets import service as dataset_service
from services.idempotency import IdempotencyKey, answer_once, earlier_answer
from services.operations import repository
from services.paging import Cursor, Limit, Page, cursor_of, cut, values_of
from services.problems import Problem
from services.review import service as review_service
from services.security.keys import Caller
from services.storage_roots import OutsideRoots

router = APIRouter(prefix="/v1", tags=["operations"])
OperationId = Annotated[str, Path(pattern=r"^op_[0-9a-z]{1,40}$")]


class MergeRequest(BaseModel):
    """Merge the corrections of a review into the next version of its dataset."""

    model_config = ConfigDict(extra="forbid")

    review: str = Field(pattern=r"^rev_[0-9a-z]{1,40}$", description="Id of the review.")
    out: str = Field(min_length=1, max_length=4000, description="New folder of the next version.")
    dataset: str | None = Field(
        default=None,
        pattern=r"^ds_[0-9a-z]{1,40}$",
        description="Id of the version to merge into. Default: the one that was reviewed.",
    )


class CompareRequest(BaseModel):
    """Two datasets to compare image by image."""

    model_config = ConfigDict(extra="forbid")

    a: str = Field(pattern=r"^ds_[0-9a-z]{1,40}$", description="Id of the one.")
    b: str = Field(pattern=r"^ds_[0-9a-z]{1,40}$", description="Id of the other.")


class OperationView(BaseModel):
    """A plan, merge or comparison. `progress`: its last line. `error`: why it failed.

    `result`: the JSON of `fo1 plan`, `fo1 dataset merge` or `fo1 dataset diff`. A merge's has the id of the
    new version as `dataset_id`, a comparison's at most 500 images of each kind.
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
    return await _queue(context, caller, request, key, body, OperationKind.PLAN)


@router.post("/merges", status_code=202, response_model=OperationView, responses={**NOT_FOUND, **CONFLICT})
async def merge_corrections(
    caller: Reviewer, body: MergeRequest, context: InContext, request: Request, key: IdempotencyKey = None
) -> Response:
    """Merge the corrections of a review into the next version, which is registered when it is done."""
    return await _queue(context, caller, request, key, body, OperationKind.MERGE)


@router.post("/comparisons", status_code=202, response_model=OperationView, responses=NOT_FOUND)
async def compare_datasets(
    caller: Reader, body: CompareRequest, context: InContext, request: Request, key: IdempotencyKey = None
) -> Response:
    """Compare two datasets image by image."""
    return await _queue(context, caller, request, key, body, OperationKind.COMPARE)


@router.get("/operations")
async def list_operations(
    caller: Reader, session: ReadSession, limit: Limit = 50, cursor: Cursor = None
) -> Page[OperationView]:
    """All plans, merges and comparisons, newest first."""
    after = values_of(cursor, str)
    last = after[0] if after else None
    rows = await repository.list_operations(session, caller.project_id, limit + 1, last)
    page, more = cut(list(rows), limit)
    items = [OperationView.of(operation) for operation in page]
    return Page(items=items, next_cursor=cursor_of(page[-1].id) if more else None)


@router.get("/operations/{operation_id}", responses=NOT_FOUND)
async def get_operation(caller: Reader, session: ReadSession, operation_id: OperationId) -> OperationView:
    """A plan, merge or comparison, with its result once it is done."""
    operation = await repository.operation_of_project(session, caller.project_id, operation_id)
    if operation is None:
        raise Problem(404, f"no operation has the id {operation_id}")
    return OperationView.of(operation)


async def _queue(
    context: Context,
    caller: Caller,
    request: Request,
    key: str | None,
    body: JobRequest | MergeRequest | CompareRequest,
    kind: OperationKind,
) -> Response:
    earlier = await earlier_answer(context.database, caller, request, key, body)
    if earlier is not None:
        return earlier
    checked = await checked_request(context, caller, body)

    async def create() -> OperationView:
        return OperationView.of(await create_operation(session, caller, kind, checked))

    async with context.database.writing() as session:
        answer = await answer_once(session, caller, request, key, body, create, 202)
    context.operations.wake()
    return answer


async def checked_request(
    context: Context, caller: Caller, body: JobRequest | MergeRequest | CompareRequest
) -> dict[str, Any]:
    """Return what an operation needs to know. Raises a Problem: 403, 404 or 422."""
    if isinstance(body, JobRequest):
        return (await checked_run(body, context, caller.project_id)).model_dump(mode="json")
    if isinstance(body, MergeRequest):
        return await _checked_merge(context, caller, body)
    async with context.database.reading() as session:
        records = [
            await dataset_service.get_dataset(session, caller.project_id, dataset_id)
            for dataset_id in (body.a, body.b)
        ]
    return {
        "a": records[0].address,
        "b": records[1].address,
        "dataset_a": body.a,
        "dataset_b": body.b,
    }


async def create_operation(
    session: AsyncSession, caller: Caller, kind: OperationKind, checked: dict[str, Any]
) -> Operation:
    """Queue an operation. Raises a Problem of 409 if a merge writes to the same folder already."""
    if kind is OperationKind.MERGE:
        await lock_name(session, f"merge into {checked['out']}")
        if await repository.merge_into(session, checked["out"]) is not None:
            raise Problem(409, f"another merge is at work on {checked['out']}")
    return await repository.create(session, caller.project_id, kind, checked, caller.key_id)


async def _checked_merge(context: Context, caller: Caller, body: MergeRequest) -> dict[str, Any]:
    async with context.database.reading() as session:
        review = await review_service.get_review(session, caller.project_id, body.review)
        dataset_id = body.dataset or review.dataset_id or ""
        record = await dataset_service.get_dataset(session, caller.project_id, dataset_id)
    roots = await context.project_roots.for_requests(caller.project_id)
    try:
        out = await asyncio.to_thread(roots.check, body.out)
    except OutsideRoots as error:
        raise Problem(403, f"out: {error}") from None
    if out == record.address:
        raise Problem(422, "out: the next version needs a folder of its own")
    return {"review": review.id, "dataset": record.id, "address": record.address, "out": out}
