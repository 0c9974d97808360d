"""`/v1/reviews`: push a dataset to Label Studio for review, pull annotations, read corrections."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.corrections import Correction
from schemas.reviews import AsideReason, ReviewOptions
from services.api.dependencies import Reader, ReadSession, Reviewer, WriteSession
from services.api.documented import CONFLICT, NOT_FOUND, problem_answer
from services.context import Context, InContext
from services.database.models import DatasetRecord
from services.datasets import registry
from services.datasets import service as dataset_service
from services.idempotency import IdempotencyKey, answer_once, earlier_answer
from services.identifiers import ReviewId
from services.label_studio.connection import LabelStudioError
from services.paging import Cursor, Limit, Page, cursor_of, cut, values_of
from services.problems import KeptText, Problem
from services.review import annotation_repository, correction_repository, repository, service
from services.review.inbox.look import MAX_TAKEN_IN, take_in_annotations
from services.review.views import ReviewView, SetAside, set_aside_view, view_of
from services.review.worker import ReviewWorker
from services.security.keys import Caller
from services.storage_roots import OutsideRoots, StorageRoots

router = APIRouter(prefix="/v1/reviews", tags=["reviews"])
UPSTREAM: dict[int | str, Any] = {503: problem_answer("Label Studio does not answer, or fails.")}


class ReviewRequest(ReviewOptions):
    """The dataset to review, and the options of the review."""

    dataset: KeptText = Field(
        min_length=1, max_length=4000, description="Id of a dataset, or its folder within the storage roots."
    )
    title: KeptText | None = Field(
        default=None, min_length=3, max_length=50, description="Title of the project in Label Studio."
    )

    def options(self) -> ReviewOptions:
        """Return the options without the dataset and the title."""
        return ReviewOptions.model_validate(self.model_dump(include=set(ReviewOptions.model_fields)))


class PullView(ReviewView):
    """A review after a pull, and the pull's numbers."""

    pulled: dict[str, int]


class TakeInRequest(BaseModel):
    """The annotations to take in: by their ids in Label Studio, or all that are set aside for a reason."""

    model_config = ConfigDict(extra="forbid")

    annotations: list[Annotated[int, Field(ge=1, lt=2**31)]] | None = Field(
        default=None, min_length=1, max_length=MAX_TAKEN_IN, description="Ids of annotations in Label Studio."
    )
    kind: AsideReason | None = Field(
        default=None, description=f"All set aside for this reason, at most {MAX_TAKEN_IN} at once."
    )


class TakenInView(ReviewView):
    """A review after annotations were taken in, and their number."""

    taken_in: int


def _worker(context: Context) -> ReviewWorker:
    if context.reviews is None:
        raise Problem(
            409, "no Label Studio is configured: set FO1_LABEL_STUDIO_URL and FO1_LABEL_STUDIO_TOKEN"
        )
    return context.reviews


@router.post("", status_code=201, response_model=ReviewView, responses={**CONFLICT, **NOT_FOUND})
async def push_review(
    caller: Reviewer, body: ReviewRequest, context: InContext, request: Request, key: IdempotencyKey = None
) -> Response:
    """Push a dataset's review and audit parts. The same version again is the same review."""
    earlier = await earlier_answer(context.database, caller, request, key, body)
    if earlier is not None:
        return earlier
    worker = _worker(context)
    folder = None
    if not body.dataset.startswith("ds_"):
        roots = await context.project_roots.for_requests(caller.project_id)
        folder = await asyncio.to_thread(dataset_service.read_registered, body.dataset, roots)
    options = body.options()
    if options.honeypot_gold is not None:
        roots = await context.project_roots.for_requests(caller.project_id)
        gold = await asyncio.to_thread(_gold_address, options.honeypot_gold, roots)
        options = options.model_copy(update={"honeypot_gold": gold})
    async with context.database.writing() as session:

        async def create() -> ReviewView:
            record = await _record(session, caller, body.dataset, folder)
            review = await service.request_push(
                session, context.settings, record, body.title, options, caller.key_id
            )
            return await view_of(session, review, context.video_copies)

        answer = await answer_once(session, caller, request, key, body, create)
    context.indexer.wake()
    worker.wake()
    return answer


def _gold_address(address: str, roots: StorageRoots) -> str:
    """Return the absolute address of gold. Raises a Problem: of 403 outside the roots, of 404 for nothing."""
    try:
        absolute = roots.check_source(address)
    except OutsideRoots as error:
        raise Problem(403, f"honeypot_gold: {error}") from None
    if not roots.exists(absolute):
        raise Problem(404, f"honeypot_gold: there is nothing at {address}")
    return absolute


async def _record(session: AsyncSession, caller: Caller, dataset: str, folder: Any) -> DatasetRecord:
    """Return the dataset of an id, or register the dataset of a folder."""
    if folder is not None:
        address, manifest = folder
        return await registry.register(session, address, manifest, caller.project_id, caller.key_id)
    return await dataset_service.get_dataset(session, caller.project_id, dataset)


@router.get("")
async def list_reviews(
    caller: Reader,
    context: InContext,
    session: ReadSession,
    limit: Limit = 20,
    cursor: Cursor = None,
    dataset: Annotated[
        str | None, Query(max_length=4000, description="Only reviews of this dataset: its id or folder.")
    ] = None,
    key: Annotated[
        str | None,
        Query(pattern="^[0-9a-f]{1,64}$", description="Only reviews with this key, which names a version."),
    ] = None,
) -> Page[ReviewView]:
    """All reviews, newest first."""
    after = values_of(cursor, str)
    dataset = None if dataset is None else dataset.replace("\0", "")
    before = after[0] if after else None
    rows = await repository.list_reviews(session, caller.project_id, dataset, before, limit + 1, key)
    page, more = cut(list(rows), limit)
    items = [await view_of(session, review, context.video_copies) for review in page]
    return Page(items=items, next_cursor=cursor_of(page[-1].id) if more else None)


@router.get("/{review_id}", responses=NOT_FOUND)
async def get_review(
    caller: Reader, context: InContext, session: ReadSession, review_id: ReviewId
) -> ReviewView:
    """A review with its progress."""
    review = await service.get_review(session, caller.project_id, review_id)
    return await view_of(session, review, context.video_copies)


@router.post("/{review_id}/pull", responses={**CONFLICT, **NOT_FOUND, **UPSTREAM})
async def pull_review(caller: Reviewer, context: InContext, review_id: ReviewId) -> PullView:
    """Pull everything that people did since the last pull. Works with and without webhooks."""
    async with context.database.reading() as session:
        await service.get_review(session, caller.project_id, review_id)
    try:
        summary = await _worker(context).pull(review_id)
    except LabelStudioError as error:
        raise Problem(503, str(error)) from None
    async with context.database.reading() as session:
        review = await service.get_review(session, caller.project_id, review_id)
        view = await view_of(session, review, context.video_copies)
    return PullView(**view.model_dump(), pulled=summary.figures())


@router.get("/{review_id}/set-aside", responses=NOT_FOUND)
async def list_set_aside(
    caller: Reader,
    session: ReadSession,
    review_id: ReviewId,
    limit: Limit = 20,
    cursor: Cursor = None,
    kind: Annotated[AsideReason | None, Query(description="Only those set aside for this reason.")] = None,
) -> Page[SetAside]:
    """Annotations that say nothing until somebody has looked at them, newest first, with the reasons."""
    review = await service.get_review(session, caller.project_id, review_id)
    before = values_of(cursor, int)
    rows = await annotation_repository.list_set_aside(
        session, review_id, kind, before[0] if before else None, limit + 1
    )
    page, more = cut(list(rows), limit)
    items = [set_aside_view(review, row, item) for row, item in page]
    return Page(items=items, next_cursor=cursor_of(page[-1][0].id) if more else None)


@router.post("/{review_id}/take-in", responses={**CONFLICT, **NOT_FOUND})
async def take_in(
    caller: Reviewer, context: InContext, session: WriteSession, review_id: ReviewId, body: TakeInRequest
) -> TakenInView:
    """Believe annotations that were set aside, after a look at them in Label Studio."""
    review = await service.get_review(session, caller.project_id, review_id)
    if (body.annotations is None) == (body.kind is None):
        raise Problem(422, "give annotations or kind")
    number = await take_in_annotations(session, review, caller.key_id, body.annotations, body.kind)
    await session.flush()
    view = await view_of(session, review, context.video_copies)
    return TakenInView(**view.model_dump(), taken_in=number)


@router.get("/{review_id}/corrections", response_model=Page[Correction], responses=NOT_FOUND)
async def list_corrections(
    caller: Reader,
    session: ReadSession,
    review_id: ReviewId,
    limit: Limit = 100,
    cursor: Cursor = None,
    everyone: Annotated[
        bool, Query(description="Of every annotation, not only of those that the resolution rule chose.")
    ] = False,
) -> Response:
    """Corrections, one change per entry. `fo1 dataset merge --corrections` reads these pages.

    An image of which nothing counts any more has one entry, `withdrawn`.
    """
    await service.get_review(session, caller.project_id, review_id)
    after = values_of(cursor, int)
    rows = await correction_repository.list_corrections(
        session, review_id, everyone, after[0] if after else None, limit + 1
    )
    page, more = cut(list(rows), limit)
    # The stored documents are JSON already: parsing and writing them again would double the time.
    next_cursor = f'"{cursor_of(page[-1][0])}"' if more else "null"
    body = f'{{"items":[{",".join(document for _, document in page)}],"next_cursor":{next_cursor}}}'
    return Response(body, media_type="application/json")
