"""The pages of operations: plans, merges, routings and comparisons, at work and done."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.jobs import RunConfig
from services.api.dependencies import ReadSession
from services.api.jobs import JobRequest, start_job
from services.context import InContext
from services.dashboard.frame import render_page, require_scope
from services.dashboard.login import InVisitor, PostingVisitor, Visitor
from services.database.models import DatasetRecord
from services.database.operation_tables import Operation, OperationKind, OperationState
from services.datasets import repository as dataset_repository
from services.identifiers import OperationId
from services.operations import repository
from services.problems import Problem
from services.security.keys import Scope, key_names

router = APIRouter(include_in_schema=False)
_OPERATIONS = 100
_SECTIONS = {
    OperationKind.PLAN: "Jobs",
    OperationKind.MERGE: "Reviews",
    OperationKind.COMPARE: "Datasets",
    OperationKind.ROUTE: "Datasets",
}


async def find_operation(session: AsyncSession, visitor: Visitor, operation_id: str) -> Operation:
    """Return an operation of the visitor's project. Raises a Problem of 404."""
    operation = await repository.operation_of_project(session, visitor.project_id, operation_id)
    if operation is None:
        raise Problem(404, f"no operation has the id {operation_id}")
    return operation


async def version_of_operation(session: AsyncSession, operation: Operation) -> DatasetRecord | None:
    """Return the dataset that a merge or a routing made, or None if there is none (any more)."""
    dataset_id = (operation.result or {}).get("dataset_id", "")
    return await dataset_repository.dataset_of_project(session, operation.project_id, dataset_id)


@router.get("/operations")
async def operations_page(visitor: InVisitor, context: InContext, session: ReadSession) -> Response:
    """Plans, merges, routings and comparisons, newest first."""
    listed = await repository.list_operations(session, visitor.project_id, _OPERATIONS, None)
    names = await key_names(session, {operation.created_by or "" for operation in listed})
    return render_page(context, visitor, "Operations", "operations.html", operations=listed, names=names)


@router.get("/operations/{operation_id}")
async def operation_page(
    visitor: InVisitor, context: InContext, session: ReadSession, operation_id: OperationId
) -> Response:
    """An operation: its last line while it is at work, then its result."""
    operation = await find_operation(session, visitor, operation_id)
    section = _SECTIONS[OperationKind(operation.kind)]
    values = await _values(session, operation, visitor)
    return render_page(context, visitor, section, "operation.html", **values)


@router.get("/parts/operations/{operation_id}")
async def operation_part(
    visitor: InVisitor, context: InContext, session: ReadSession, operation_id: OperationId
) -> Response:
    """The part of an operation's page that updates."""
    operation = await find_operation(session, visitor, operation_id)
    answer = context.pages.render("operation_state.html", **await _values(session, operation, visitor))
    if operation.state in (OperationState.SUCCEEDED, OperationState.FAILED):
        answer.headers["HX-Refresh"] = "true"
    return answer


@router.post("/operations/{operation_id}/start")
async def start_planned(visitor: PostingVisitor, context: InContext, operation_id: OperationId) -> Response:
    """Start the job that was planned."""
    require_scope(visitor, Scope.LABEL)
    async with context.database.reading() as session:
        operation = await find_operation(session, visitor, operation_id)
    if operation.kind != OperationKind.PLAN:
        raise Problem(409, "only a plan can be started")
    job = await start_job(context, visitor.caller, JobRequest.model_validate(operation.request))
    return RedirectResponse(f"/jobs/{job.id}", 303)


async def _values(session: AsyncSession, operation: Operation, visitor: Visitor) -> dict[str, Any]:
    names = await key_names(session, {operation.created_by or ""})
    settings = {}
    if operation.kind == OperationKind.PLAN and operation.request:
        settings = RunConfig.model_validate(operation.request).model_dump(mode="json", exclude_defaults=True)
    return {
        "operation": operation,
        "settings": settings,
        "made": await version_of_operation(session, operation),
        "started_by": names.get(operation.created_by or ""),
        "may_label": visitor.caller.may(Scope.LABEL),
        "token": visitor.token,
    }
