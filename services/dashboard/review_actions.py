"""Forms that pull a review, and merge its corrections into the next version of the dataset."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from services.api.dependencies import ReadSession
from services.api.operation_requests import MergeRequest, queue_operation
from services.context import Context, InContext
from services.dashboard.frame import render_form, require_scope
from services.dashboard.login import InVisitor, PostingVisitor, Visitor
from services.identifiers import ReviewId
from services.label_studio.connection import LabelStudioError
from services.problems import Problem
from services.review import service
from services.review.views import ReviewView, view_of
from services.security.keys import Scope

router = APIRouter(include_in_schema=False)


@router.post("/reviews/{review_id}/pull")
async def pull(visitor: PostingVisitor, context: InContext, review_id: ReviewId) -> Response:
    """Pull what people did since the last pull."""
    async with context.database.reading() as session:
        await service.get_review(session, visitor.project_id, review_id)
    require_scope(visitor, Scope.REVIEW)
    if context.reviews is None:
        raise Problem(409, "no Label Studio is configured")
    try:
        await context.reviews.pull(review_id)
    except LabelStudioError as error:
        raise Problem(503, str(error)) from None
    return RedirectResponse("/reviews", 303)


@router.get("/reviews/{review_id}/merge")
async def merge_page(
    visitor: InVisitor, context: InContext, session: ReadSession, review_id: ReviewId
) -> Response:
    """The form that merges the corrections of a review."""
    review = await service.get_review(session, visitor.project_id, review_id)
    require_scope(visitor, Scope.REVIEW)
    view = await view_of(session, review)
    return _form(context, visitor, view, f"{view.address.rstrip('/')}-corrected", None)


@router.post("/reviews/{review_id}/merge")
async def merge(
    visitor: PostingVisitor,
    context: InContext,
    review_id: ReviewId,
    out: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    """Merge the corrections of a review into a new folder."""
    async with context.database.reading() as session:
        review = await service.get_review(session, visitor.project_id, review_id)
        view = await view_of(session, review)
    require_scope(visitor, Scope.REVIEW)
    try:
        if not out.strip():
            raise Problem(422, "out: the next version needs a folder")
        body = MergeRequest(review=review_id, out=out.strip())
        operation = await queue_operation(context, visitor.caller, body)
    except Problem as problem:
        return _form(context, visitor, view, out, problem)
    return RedirectResponse(f"/operations/{operation.id}", 303)


def _form(
    context: Context, visitor: Visitor, view: ReviewView, out: str, problem: Problem | None
) -> Response:
    return render_form(context, visitor, "Reviews", "merge_form.html", problem, review=view, out=out)
