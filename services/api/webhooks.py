"""`/v1/webhooks/label-studio`: hears that something was annotated, and answers at once.

Label Studio waits at most a second, inside the annotator's Submit: only ids are kept here, and looked into
by the loop over reviews. Nothing of the payload is stored or logged; it carries the project's token.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel

from services.api.dependencies import caller_of_request
from services.context import Context, InContext
from services.problems import Problem
from services.review import service
from services.review.push import REVIEW_HEADER, SECRET_HEADER
from services.security.keys import Scope

router = APIRouter(prefix="/v1/webhooks", tags=["reviews"])


class Heard(BaseModel):
    """How many changes a webhook named."""

    heard: int


@router.post("/label-studio", status_code=202)
async def hear_label_studio(
    request: Request,
    context: InContext,
    payload: dict[str, Any],
    review_id: Annotated[str | None, Header(alias=REVIEW_HEADER, max_length=64)] = None,
    secret: Annotated[str | None, Header(alias=SECRET_HEADER, max_length=128)] = None,
) -> Heard:
    """A webhook of Label Studio. It carries the secret of its review, or a key with the scope `review`."""
    known = await _review_id(request, context, payload, review_id, secret)
    heard = 0
    if known is not None:
        async with context.database.writing() as session:
            heard = await service.hear(session, known, payload)
    if heard and context.reviews is not None:
        context.reviews.wake()
    return Heard(heard=heard)


async def _review_id(
    request: Request, context: Context, payload: dict[str, Any], review_id: str | None, secret: str | None
) -> str | None:
    """The review it is about. Raises Problems of 401 and 403."""
    if review_id is not None and secret is not None:
        if not service.is_from_label_studio(context.settings, review_id, secret):
            raise Problem(401, "this is not the secret of this review")
        async with context.database.reading() as session:
            await service.found(session, review_id)
        return review_id
    caller = await caller_of_request(request, context)
    if not caller.may(Scope.REVIEW):
        raise Problem(403, "this key lacks the scope review")
    async with context.database.reading() as session:
        review = await service.review_of_project(session, payload)
    return review.id if review is not None else None
