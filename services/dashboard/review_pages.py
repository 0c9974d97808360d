"""The page of reviews, and the page of a review's annotations that are set aside."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from schemas.reviews import AsideReason
from services.api.dependencies import ReadSession, WriteSession
from services.context import InContext
from services.dashboard.frame import render_page, require_scope
from services.dashboard.login import InVisitor, PostingVisitor
from services.identifiers import ReviewId
from services.review import annotation_repository, repository, service
from services.review.inbox.look import take_in_annotations
from services.review.views import set_aside_view, view_of
from services.security.keys import Scope, key_names

router = APIRouter(include_in_schema=False)
_REVIEWS = 50
_SET_ASIDE = 200


@router.get("/reviews")
async def reviews_page(visitor: InVisitor, context: InContext, session: ReadSession) -> Response:
    """Reviews with their progress."""
    reviews = await repository.list_reviews(session, visitor.project_id, None, None, _REVIEWS)
    views = [(await view_of(session, review, context.video_copies)).model_dump() for review in reviews]
    names = await key_names(session, {review.created_by or "" for review in reviews})
    return render_page(context, visitor, "Reviews", "reviews.html", reviews=views, names=names)


@router.get("/reviews/{review_id}/set-aside")
async def set_aside_page(
    visitor: InVisitor, context: InContext, session: ReadSession, review_id: ReviewId
) -> Response:
    """Annotations that say nothing until somebody has looked at them."""
    review = await service.get_review(session, visitor.project_id, review_id)
    rows = await annotation_repository.list_set_aside(session, review_id, None, None, _SET_ASIDE)
    return render_page(
        context,
        visitor,
        "Reviews",
        "set_aside.html",
        review=await view_of(session, review),
        annotations=[set_aside_view(review, row, item) for row, item in rows],
        may_review=visitor.caller.may(Scope.REVIEW),
    )


@router.post("/reviews/{review_id}/take-in")
async def take_in(
    visitor: PostingVisitor,
    session: WriteSession,
    review_id: ReviewId,
    annotation: Annotated[int | None, Form(ge=1, lt=2**31)] = None,
    kind: Annotated[AsideReason | None, Form()] = None,
) -> Response:
    """Take annotations in (the buttons Take in): one, or all of a reason."""
    require_scope(visitor, Scope.REVIEW)
    review = await service.get_review(session, visitor.project_id, review_id)
    ids = [annotation] if annotation is not None else None
    if ids is not None or kind is not None:
        await take_in_annotations(session, review, visitor.caller.key_id, ids, kind)
    return RedirectResponse(f"/reviews/{review_id}/set-aside", 303)
