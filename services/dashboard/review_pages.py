"""The page of reviews."""

from fastapi import APIRouter
from fastapi.responses import Response

from services.api.dependencies import ReadSession
from services.context import InContext
from services.dashboard.frame import render_page
from services.dashboard.login import InVisitor
from services.review import repository
from services.review.views import view_of

router = APIRouter(include_in_schema=False)
_REVIEWS = 50


@router.get("/reviews")
async def reviews_page(visitor: InVisitor, context: InContext, session: ReadSession) -> Response:
    """Reviews with their progress."""
    reviews = await repository.list_reviews(session, visitor.project_id, None, None, _REVIEWS)
    views = [(await view_of(session, review)).model_dump() for review in reviews]
    return render_page(context, visitor, "Reviews", "reviews.html", reviews=views)
