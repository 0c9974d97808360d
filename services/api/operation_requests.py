"""What plans, merges, routings and comparisons are asked with, checked before they are queued."""

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from fo1_data.confidence.calibration_file import read_calibration
from fo1_data.dataset.layout import MANIFEST
from fo1_data.errors import CalibrationError
from fo1_data.storage.store import open_store
from services.api.jobs import JobRequest, checked_run
from services.context import Context
from services.database.operation_tables import Operation, OperationKind
from services.datasets import service as dataset_service
from services.datasets.service import calibration_of
from services.datasets.writers import WRITING, find_writer
from services.identifiers import DATASET_ID, REVIEW_ID
from services.operations import repository
from services.problems import Problem, http_message
from services.review import service as review_service
from services.security.keys import Caller
from services.storage_roots import OutsideRoots


class MergeRequest(BaseModel):
    """Merge the corrections of a review into the next version of its dataset."""

    model_config = ConfigDict(extra="forbid")

    review: str = Field(pattern=REVIEW_ID, description="Id of the review.")
    out: str = Field(min_length=1, max_length=4000, description="New folder of the next version.")
    dataset: str | None = Field(
        default=None,
        pattern=DATASET_ID,
        description="Id of the version to merge into. Default: the one that was reviewed.",
    )


class CompareRequest(BaseModel):
    """Two datasets to compare image by image."""

    model_config = ConfigDict(extra="forbid")

    a: str = Field(pattern=DATASET_ID, description="Id of the one.")
    b: str = Field(pattern=DATASET_ID, description="Id of the other.")


class RouteRequest(BaseModel):
    """Decide again about the labels of a dataset, with another error bound, into its next version."""

    model_config = ConfigDict(extra="forbid")

    dataset: str = Field(pattern=DATASET_ID, description="Id of the dataset.")
    max_error: float = Field(gt=0, lt=1, description="Largest share of wrong labels among the accepted.")
    out: str = Field(min_length=1, max_length=4000, description="New folder of the next version.")
    audit: float = Field(default=0.0, ge=0, le=1, description="Share of accepted labels to audit.")
    calibration: str | None = Field(
        default=None,
        min_length=1,
        max_length=4000,
        description="File of `fo1 calibrate`. Default: the one that the dataset was labelled or routed with.",
    )


OperationRequest = JobRequest | MergeRequest | RouteRequest | CompareRequest
_KINDS: dict[type[OperationRequest], OperationKind] = {
    JobRequest: OperationKind.PLAN,
    MergeRequest: OperationKind.MERGE,
    RouteRequest: OperationKind.ROUTE,
    CompareRequest: OperationKind.COMPARE,
}


async def queue_operation(context: Context, caller: Caller, body: OperationRequest) -> Operation:
    """Check and queue what a caller asks for. Raises a Problem: 403, 404, 409 or 422."""
    checked = await checked_request(context, caller, body)
    async with context.database.writing() as session:
        operation = await create_operation(session, caller, body, checked)
    context.operations.wake()
    return operation


async def checked_request(context: Context, caller: Caller, body: OperationRequest) -> dict[str, Any]:
    """Return what an operation needs to know. Raises a Problem: 403, 404 or 422."""
    if isinstance(body, JobRequest):
        return (await checked_run(body, context, caller.project_id)).model_dump(mode="json")
    if isinstance(body, MergeRequest):
        return await _checked_merge(context, caller, body)
    if isinstance(body, RouteRequest):
        return await _checked_routing(context, caller, body)
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
    session: AsyncSession, caller: Caller, body: OperationRequest, checked: dict[str, Any]
) -> Operation:
    """Queue a checked operation. Raises a Problem of 409 if anything else writes to its folder."""
    kind = _KINDS[type(body)]
    if kind in WRITING:
        writer = await find_writer(session, checked["out"])
        if writer is not None:
            raise Problem(409, f"out: {writer.named(caller.project_id)} is at work on {writer.out}")
    return await repository.create(session, caller.project_id, kind, checked, caller.key_id)


async def _checked_merge(context: Context, caller: Caller, body: MergeRequest) -> dict[str, Any]:
    async with context.database.reading() as session:
        review = await review_service.get_review(session, caller.project_id, body.review)
        dataset_id = body.dataset or review.dataset_id or ""
        record = await dataset_service.get_dataset(session, caller.project_id, dataset_id)
    out = await place_of_caller(context, caller, "out", body.out)
    if out == record.address:
        raise Problem(422, "out: the next version needs a folder of its own")
    return {"review": review.id, "dataset": record.id, "address": record.address, "out": out}


async def _checked_routing(context: Context, caller: Caller, body: RouteRequest) -> dict[str, Any]:
    async with context.database.reading() as session:
        record = await dataset_service.get_dataset(session, caller.project_id, body.dataset)
    named = body.calibration or calibration_of(record)
    if named is None:
        raise Problem(422, "calibration: the dataset was made without one: name a file of fo1 calibrate")
    calibration = await place_of_caller(context, caller, "calibration", named)
    out = await place_of_caller(context, caller, "out", body.out)
    try:
        await asyncio.to_thread(read_calibration, calibration)
        if await asyncio.to_thread(lambda: open_store(out).exists(MANIFEST)):
            raise Problem(409, f"out: {out} holds a finished dataset: name another folder")
    except CalibrationError as error:
        raise Problem(422, http_message(str(error))) from None
    return {
        "dataset": record.id,
        "address": record.address,
        "calibration": calibration,
        "max_error": body.max_error,
        "audit": body.audit,
        "out": out,
    }


async def place_of_caller(context: Context, caller: Caller, field: str, address: str) -> str:
    """Return an absolute address. Raises a Problem of 403 outside the project's storage roots."""
    roots = await context.project_roots.for_requests(caller.project_id)
    try:
        return await asyncio.to_thread(roots.check, address)
    except OutsideRoots as error:
        raise Problem(403, f"{field}: {error}") from None
