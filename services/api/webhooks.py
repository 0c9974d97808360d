"""`/v1/webhooks/label-studio`: records that something was annotated, and answers at once.

Label Studio waits at most a second for the answer, while the annotator waits for Submit. So only ids are
stored here, and the loop over reviews processes them. The rest of the payload is neither stored nor logged:
it carries the project's token.
"""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel

from services.api.dependencies import caller_of_request
from services.context import Context, InContext
from services.problems import Problem
from services.review import service
from services.review.outbox.project import REVIEW_HEADER, SECRET_HEADER
from services.security.keys import Caller, Scope

router = APIRouter(prefix="/v1/webhooks", tags=["reviews"])


class WebhookReceipt(BaseModel):
    """`heard`: the number of changes in a webhook."""

    heard: int


# The body is parsed after the secret is checked: without it nobody learns whether the body was valid.
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}


@router.post("/label-studio", status_code=202, openapi_extra=_BODY)
async def hear_label_studio(
    request: Request,
    context: InContext,
    review_id: Annotated[str | None, Header(alias=REVIEW_HEADER, max_length=64)] = None,
    secret: Annotated[str | None, Header(alias=SECRET_HEADER, max_length=128)] = None,
) -> WebhookReceipt:
    """Receive a webhook. It carries the secret of its review, or a key with the scope `review`."""
    caller = await _caller_without_secret(request, context, review_id, secret)
    payload = await _payload(request)
    if caller is not None:
        review_id = await _review_of_webhook(context, caller, payload)
    num_deliveries = 0
    if review_id is not None:
        async with context.database.writing() as session:
            num_deliveries = await service.record_webhook(session, review_id, payload)
    if num_deliveries and context.reviews is not None:
        context.reviews.wake()
    return WebhookReceipt(heard=num_deliveries)


async def _caller_without_secret(
    request: Request, context: Context, review_id: str | None, secret: str | None
) -> Caller | None:
    """Return the caller whose key was sent; None if the review's secret was.

    Raises a Problem of 401, 403 or 404.
    """
    if review_id is not None and secret is not None:
        if not service.is_from_label_studio(context.settings, review_id, secret):
            raise Problem(401, "this is not the secret of this review")
        async with context.database.reading() as session:
            await service.get_review(session, None, review_id)
        return None
    caller = await caller_of_request(request, context)
    if not caller.may(Scope.REVIEW):
        raise Problem(403, "this key lacks the scope review")
    return caller


async def _payload(request: Request) -> dict[str, Any]:
    try:
        payload = json.loads(await request.body())
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise Problem(422, "a webhook's body is a JSON object")
    return payload


async def _review_of_webhook(context: Context, caller: Caller, payload: dict[str, Any]) -> str | None:
    async with context.database.reading() as session:
        review = await service.review_of_webhook(session, caller.project_id, payload)
    return review.id if review is not None else None
