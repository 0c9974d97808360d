"""The page on which a person chooses how many labels are accepted, and makes a version of that choice."""

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fo1_data.dataset.layout import MANIFEST
from fo1_data.errors import Fo1Error
from fo1_data.storage.store import open_store
from services.api.dependencies import ReadSession
from services.context import Context, InContext
from services.dashboard.frame import render_page, require_scope
from services.dashboard.login import InVisitor, PostingVisitor
from services.database.models import DatasetRecord, Routing
from services.datasets import service
from services.datasets.routings import calibration_of, is_lost
from services.identifiers import DatasetId, new_id
from services.problems import Problem, http_message
from services.security.keys import Scope
from services.storage_roots import OutsideRoots

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
    curve = await _curve(context, record, address) if address else {"curve": None, "problem": None}
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
        **await _routings(session, dataset_id),
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
    curve = await _curve(context, record, calibration)
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
    return context.pages.render("routings.html", dataset=record, **await _routings(session, dataset_id))


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
    async with context.database.reading() as session:
        record = await service.get_dataset(session, visitor.project_id, dataset_id)
    routing = Routing(
        id=new_id("routing"),
        dataset_id=dataset_id,
        out=await _free_folder(context, visitor.project_id, out),
        calibration=await _calibration_address(context, record, calibration),
        max_error=max_error,
        audit=audit,
        created_by=visitor.caller.key_id,
    )
    async with context.database.writing() as session:
        session.add(routing)
    await context.routings.start(routing, record)
    return RedirectResponse(f"/datasets/{dataset_id}/routing", 303)


async def _curve(context: Context, record: DatasetRecord, calibration: str) -> dict[str, Any]:
    """Return the curve as JSON (None: it is being computed), or what is wrong with the calibration."""
    try:
        address = await _calibration_address(context, record, calibration)
        curve = await context.routings.curve(record, address)
    except (Fo1Error, OSError) as error:
        return {"curve": None, "problem": http_message(str(error))}
    except Problem as problem:
        return {"curve": None, "problem": problem.detail}
    return {"curve": None if curve is None else json.dumps(curve), "problem": None}


async def _calibration_address(context: Context, record: DatasetRecord, calibration: str) -> str:
    """Return the absolute address. Raises a Problem of 403 if it is outside the project's storage roots."""
    roots = await context.project_roots.for_requests(record.project_id)
    try:
        return await asyncio.to_thread(roots.check, calibration)
    except OutsideRoots as error:
        raise Problem(403, f"calibration: {error}") from None


async def _free_folder(context: Context, project_id: str, out: str) -> str:
    """Return the absolute address of a folder. Raises a Problem: 403 outside the roots, 409 in use."""
    roots = await context.project_roots.for_requests(project_id)
    try:
        address = await asyncio.to_thread(roots.check, out)
        if await asyncio.to_thread(lambda: open_store(address).exists(MANIFEST)):
            raise Problem(409, f"out: {out} holds a finished dataset: name another folder")
    except OutsideRoots as error:
        raise Problem(403, f"out: {error}") from None
    return address


async def _routings(session: AsyncSession, dataset_id: str) -> dict[str, Any]:
    query = select(Routing).where(Routing.dataset_id == dataset_id).order_by(Routing.id.desc()).limit(_SHOWN)
    routings = [(routing, is_lost(routing)) for routing in (await session.scalars(query)).all()]
    at_work = any(routing.state == "running" and not lost for routing, lost in routings)
    return {"routings": routings, "at_work": at_work}


def _next_folder(address: str, version: str) -> str:
    """Return a folder beside the dataset's for its next version."""
    number = str(int(version) + 1) if version.isdecimal() else "next"
    stem = address.rstrip("/").removesuffix(f"-v{version}")
    return f"{stem}-v{number}"
