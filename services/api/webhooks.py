"""`/v1/webhooks/label-studio`: hears that something was annotated, and answers at once.

Label Studio waits at most a second, inside the annotator's Submit: only ids are kept here, and looked into
by the loop over reviews. Nothing of the payload is stored or logged; it carries the project's token.
"""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel

from services.api.dependencies import caller_of_request
from services.context import Context, InContext
from services.problems import Problem
from services.review import service
from services.review.outbox.push import REVIEW_HEADER, SECRET_HEADER
from services.security.keys import Scope

router = APIRouter(prefix="/v1/webhooks", tags=["reviews"])


class Heard(BaseModel):
    """How many changes a webhook named."""

    heard: int


# The body is read by hand: a stranger learns nothing of it, not even that it is no JSON.
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}


@router.post("/label-studio", status_code=202, openapi_extra=_BODY)
async def hear_label_studio(
    request: Request,
    context: InContext,
    review_id: Annotated[str | None, Header(alias=REVIEW_HEADER, max_length=64)] = None,
    secret: Annotated[str | None, Header(alias=SECRET_HEADER, max_length=128)] = None,
) -> Heard:
    """A webhook of Label Studio. It carries the secret of its review, or a key with the scope `review`."""
    named = await _named_review(request, context, review_id, secret)
    payload = await _payload(request)
    known = named or await _review_of(context, payload)
    heard = 0
    if known is not None:
        async with context.database.writing() as session:
            heard = await service.hear(session, known, payload)
    if heard and context.reviews is not None:
        context.reviews.wake()
    return Heard(heard=heard)


async def _named_review(
    request: Request, context: Context, review_id: str | None, secret: str | None
) -> str | None:
    """The review whose secret came along; None where a key did. Raises Problems of 401, 403 and 404."""
    if review_id is not None and secret is not None:
        if not service.is_from_label_studio(context.settings, review_id, secret):
            raise Problem(401, "this is not the secret of this review")
        async with context.database.reading() as session:
            await service.found(session, review_id)
        return review_id
    caller = await caller_of_request(request, context)
    if not caller.may(Scope.REVIEW):
        raise Problem(403, "this key lacks the scope review")
    return None


async def _payload(request: Request) -> dict[str, Any]:
    try:
        payload = json.loads(await request.body())
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise Problem(422, "a webhook's body is a JSON object")
    return payload


async def _review_of(context: Context, payload: dict[str, Any]) -> str | None:
    async with context.database.reading() as session:
        review = await service.review_of_project(session, payload)
    return review.id if review is not None else None
