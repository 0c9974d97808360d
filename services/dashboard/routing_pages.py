"""The page on which a person chooses how many labels are accepted, and makes a version of that choice."""

import json
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.ext.asyncio import AsyncSession

from fo1_data.errors import Fo1Error
from services.api.dependencies import ReadSession
from services.api.operation_requests import (
    RouteRequest,
    place_of_caller,
    queue_operation,
)
from services.context import Context, InContext
from services.dashboard.frame import render_page, require_scope
from services.dashboard.login import InVisitor, PostingVisitor, Visitor
from services.dashboard.operation_pages import version_of_operation
from services.database.models import DatasetRecord
from services.database.operation_tables import OperationState
from services.datasets import service
from services.datasets.service import calibration_of
from services.identifiers import DatasetId
from services.operations import repository as operations
from services.operations.command import failure_text
from services.problems import Problem
from services.security.keys import Scope

router = APIRouter(include_in_schema=False)
_SHOWN = 10
_MAX_ADDRESS = 4000
Calibration = Annotated[str, Query(max_length=_MAX_ADDRESS)]


@router.get("/datasets/{dataset_id}/routing")
async def routing_page(
    visitor: InVisitor,
    context: InContext,
    session: ReadSession,
    dataset_id: DatasetId,
    calibration: Calibration = "",
) -> Response:
    """The slider, which is filled as soon as the curve is computed, and the routings made before."""
    record = await service.get_dataset(session, visitor.project_id, dataset_id)
    address = calibration or calibration_of(record) or ""
    curve = await _curve(context, visitor, record, address) if address else {"curve": None, "problem": None}
    return render_page(
        context,
        visitor,
        "Datasets",
        "routing.html",
        dataset=record,
        calibration=address,
        stored=calibration_of(record),
        out=_next_folder(record.address, record.version),
        may_label=visitor.caller.may(Scope.LABEL),
        **curve,
        **await _routings(session, visitor.project_id, dataset_id),
    )


@router.get("/parts/datasets/{dataset_id}/routing")
async def curve_part(
    visitor: InVisitor,
    context: InContext,
    session: ReadSession,
    dataset_id: DatasetId,
    calibration: Calibration = "",
) -> Response:
    """Asks again for the curve; loads the page again once it is there."""
    record = await service.get_dataset(session, visitor.project_id, dataset_id)
    curve = await _curve(context, visitor, record, calibration)
    answer = context.pages.render("routing_wait.html", dataset=record, calibration=calibration, **curve)
    if curve["curve"] is not None:
        answer.headers["HX-Refresh"] = "true"
    return answer


@router.get("/parts/datasets/{dataset_id}/routings")
async def routings_part(
    visitor: InVisitor, context: InContext, session: ReadSession, dataset_id: DatasetId
) -> Response:
    """The routings of a dataset; they update while one is at work."""
    record = await service.get_dataset(session, visitor.project_id, dataset_id)
    routings = await _routings(session, visitor.project_id, dataset_id)
    return context.pages.render("routings.html", dataset=record, **routings)


@router.post("/datasets/{dataset_id}/routing")
async def start_routing(
    visitor: PostingVisitor,
    context: InContext,
    dataset_id: DatasetId,
    max_error: Annotated[float, Form(gt=0, lt=1)],
    calibration: Annotated[str, Form(min_length=1, max_length=_MAX_ADDRESS)],
    out: Annotated[str, Form(min_length=1, max_length=_MAX_ADDRESS)],
    audit: Annotated[float, Form(ge=0, le=1)] = 0.0,
) -> Response:
    """Make the next version with the chosen bound (the button Route)."""
    require_scope(visitor, Scope.LABEL)
    body = RouteRequest(
        dataset=dataset_id, max_error=max_error, out=out, audit=audit, calibration=calibration
    )
    await queue_operation(context, visitor.caller, body)
    query = urlencode({"calibration": calibration})
    return RedirectResponse(f"/datasets/{dataset_id}/routing?{query}", 303)


async def _curve(
    context: Context, visitor: Visitor, record: DatasetRecord, calibration: str
) -> dict[str, Any]:
    """Return the curve as JSON (None: it is being computed), or what is wrong with the calibration."""
    try:
        address = await place_of_caller(context, visitor.caller, "calibration", calibration)
        curve = await context.curves.curve(record, address)
    except (Fo1Error, Problem, OSError) as error:
        return {"curve": None, "problem": failure_text(error)}
    return {"curve": None if curve is None else json.dumps(curve), "problem": None}


async def _routings(session: AsyncSession, project_id: str, dataset_id: str) -> dict[str, Any]:
    """Return the last routings, each with the dataset that it made if that is still registered."""
    routings = await operations.list_routings(session, project_id, dataset_id, _SHOWN)
    made = [await version_of_operation(session, routing) for routing in routings]
    at_work = any(routing.state in (OperationState.QUEUED, OperationState.RUNNING) for routing in routings)
    return {"routings": list(zip(routings, made, strict=True)), "at_work": at_work}


def _next_folder(address: str, version: str) -> str:
    """Return a folder beside the dataset's for its next version."""
    number = str(int(version) + 1) if version.isdecimal() else "next"
    stem = address.rstrip("/").removesuffix(f"-v{version}")
    return f"{stem}-v{number}"
