"""Forms that register, compare and forget datasets, and push them to review."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError

from schemas.reviews import ReviewOptions
from services.api.dependencies import ReadSession, WriteSession
from services.api.operation_requests import CompareRequest, queue_operation
from services.context import Context, InContext
from services.dashboard.frame import render_form, render_page, require_scope
from services.dashboard.gallery_form import GalleryForm, InForm
from services.dashboard.login import InVisitor, PostingVisitor, Visitor
from services.database.models import DatasetRecord
from services.datasets import registry, repository, service
from services.identifiers import DATASET_ID, DatasetId
from services.problems import Problem, field_errors, field_errors_text
from services.review import service as review_service
from services.security.keys import Scope

router = APIRouter(include_in_schema=False)
_VERSIONS = 200


@router.get("/datasets/new")
async def register_page(visitor: InVisitor, context: InContext) -> Response:
    """The form that registers a dataset."""
    require_scope(visitor, Scope.LABEL)
    return _register_form(context, visitor, "", None)


@router.post("/datasets/new")
async def register(
    visitor: PostingVisitor, context: InContext, address: Annotated[str, Form(max_length=4000)] = ""
) -> Response:
    """Register a dataset by its folder."""
    require_scope(visitor, Scope.LABEL)
    roots = await context.project_roots.for_requests(visitor.project_id)
    try:
        found, manifest = await asyncio.to_thread(service.read_registered, address.strip(), roots)
    except Problem as problem:
        return _register_form(context, visitor, address, problem)
    async with context.database.writing() as session:
        record = await registry.register(session, found, manifest, visitor.project_id, visitor.caller.key_id)
    context.indexer.wake()
    return RedirectResponse(f"/datasets/{record.id}", 303)


@router.get("/datasets/{dataset_id}/delete")
async def delete_page(
    visitor: InVisitor, context: InContext, session: ReadSession, dataset_id: DatasetId
) -> Response:
    """What forgetting a dataset does, and the button."""
    record = await service.get_dataset(session, visitor.project_id, dataset_id)
    require_scope(visitor, Scope.LABEL)
    return render_page(
        context,
        visitor,
        "Datasets",
        "confirm.html",
        title="Forget this dataset?",
        subject=record.address,
        effects=[
            "It disappears from this service, with its index; jobs that made it no longer link to it.",
            "Addresses of its images that were given out stop working.",
            "Its files stay where they are. It can be registered again.",
        ],
        action=f"/datasets/{dataset_id}/delete",
        button="Forget the dataset",
        back=f"/datasets/{dataset_id}",
    )


@router.post("/datasets/{dataset_id}/delete")
async def delete(
    visitor: PostingVisitor, context: InContext, session: WriteSession, dataset_id: DatasetId
) -> Response:
    """Forget a dataset."""
    record = await service.get_dataset(session, visitor.project_id, dataset_id)
    require_scope(visitor, Scope.LABEL)
    await registry.unregister(session, record)
    context.grants.clear()
    return RedirectResponse("/datasets", 303)


@router.get("/datasets/{dataset_id}/compare")
async def compare_page(
    visitor: InVisitor, context: InContext, session: ReadSession, dataset_id: DatasetId
) -> Response:
    """The form that compares a dataset with another one."""
    record = await service.get_dataset(session, visitor.project_id, dataset_id)
    listed = await repository.list_datasets(session, visitor.project_id, _VERSIONS, None)
    others = [other for other in listed if other.id != record.id]
    others.sort(key=lambda other: other.name != record.name)  # versions of the same name first
    return render_page(context, visitor, "Datasets", "compare_form.html", dataset=record, others=others)


@router.post("/datasets/{dataset_id}/compare")
async def compare(
    visitor: PostingVisitor,
    context: InContext,
    dataset_id: DatasetId,
    other: Annotated[str, Form(pattern=DATASET_ID)],
) -> Response:
    """Compare a dataset, as the later one, with another."""
    operation = await queue_operation(context, visitor.caller, CompareRequest(a=other, b=dataset_id))
    return RedirectResponse(f"/operations/{operation.id}", 303)


@router.get("/datasets/{dataset_id}/review")
async def review_page(
    visitor: InVisitor, context: InContext, session: ReadSession, dataset_id: DatasetId, form: InForm
) -> Response:
    """The form that pushes a dataset, or what the gallery's filters select of it, to review."""
    record = await service.get_dataset(session, visitor.project_id, dataset_id)
    require_scope(visitor, Scope.REVIEW)
    return _review_form(context, visitor, record, form, None)


@router.post("/datasets/{dataset_id}/review")
async def push_review(
    visitor: PostingVisitor, context: InContext, request: Request, dataset_id: DatasetId, form: InForm
) -> Response:
    """Push a dataset to review."""
    async with context.database.reading() as session:
        record = await service.get_dataset(session, visitor.project_id, dataset_id)
    require_scope(visitor, Scope.REVIEW)
    sent = await request.form()
    given: dict[str, Any] = {"lanes": sent.getlist("lanes")}
    given |= {name: sent[name] for name in ("limit", "annotators") if sent.get(name)}
    given |= {name: True for name in ("blind", "live", "asked_only", "masks", "tracks") if sent.get(name)}
    if form.shown().keys() - {"order"}:
        given["only"] = _selection(form)
    try:
        if context.reviews is None:
            raise Problem(409, "no Label Studio is configured: set FO1_LABEL_STUDIO_URL and its token")
        options = ReviewOptions.model_validate(given)
        title = str(sent.get("title") or "").replace("\0", "").strip()[:50] or None
        async with context.database.writing() as session:
            await review_service.request_push(
                session, context.settings, record, title, options, visitor.caller.key_id
            )
    except ValidationError as error:
        message = field_errors_text(field_errors(error.errors()))
        return _review_form(context, visitor, record, form, Problem(422, message))
    except Problem as problem:
        return _review_form(context, visitor, record, form, problem)
    context.reviews.wake()
    return RedirectResponse("/reviews", 303)


def _selection(form: GalleryForm) -> dict[str, Any]:
    """Return what the gallery's filters select, for the options of a review."""
    sample_filter = form.sample_filter()
    texts = ("text", "label", "kind", "source", "split")
    selection = {name: getattr(form, name).strip() or None for name in texts}
    images = [image for image in form.images.split(",") if image]
    return selection | sample_filter.bounds | ({"images": images} if images else {})


def _register_form(context: Context, visitor: Visitor, address: str, problem: Problem | None) -> Response:
    return render_form(context, visitor, "Datasets", "register_form.html", problem, address=address)


def _review_form(
    context: Context, visitor: Visitor, record: DatasetRecord, form: GalleryForm, problem: Problem | None
) -> Response:
    filters = {name: value for name, value in form.shown().items() if name != "order"}
    return render_form(
        context,
        visitor,
        "Datasets",
        "review_form.html",
        problem,
        dataset=record,
        filters=filters,
        query=form.query(),
        back=form.model_copy(update={"images": ""}).query(),
        configured=context.reviews is not None,
        help={name: field.description for name, field in ReviewOptions.model_fields.items()},
    )
