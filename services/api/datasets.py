"""`/v1/datasets`: register finished datasets, list and forget them."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from services.api.dataset_views import DatasetDetail, DatasetRequest, DatasetView
from services.api.dependencies import Admin, Labeller, Reader, ReadSession, WriteSession
from services.api.documented import CONFLICT, NOT_FOUND
from services.context import InContext
from services.datasets import registry, repository, service
from services.idempotency import IdempotencyKey, answer_once, earlier_answer
from services.identifiers import DatasetId
from services.paging import Cursor, Limit, Page, cursor_of, cut, values_of

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


@router.post("", status_code=201, response_model=DatasetView, responses={**CONFLICT, **NOT_FOUND})
async def register_dataset(
    caller: Labeller,
    body: DatasetRequest,
    context: InContext,
    request: Request,
    key: IdempotencyKey = None,
) -> Response:
    """Register a finished dataset; the same version in the same folder is registered once."""
    earlier = await earlier_answer(context.database, caller, request, key, body)
    if earlier is not None:
        return earlier
    roots = await context.project_roots.for_requests(caller.project_id)
    address, manifest = await asyncio.to_thread(service.read_registered, body.address, roots)

    async def create() -> DatasetView:
        record = await registry.register(session, address, manifest, caller.project_id, caller.key_id)
        return DatasetView.of(record)

    async with context.database.writing() as session:
        answer = await answer_once(session, caller, request, key, body, create)
    context.indexer.wake()
    return answer


@router.get("")
async def list_datasets(
    caller: Reader,
    session: ReadSession,
    limit: Limit = 50,
    cursor: Cursor = None,
    name: Annotated[str | None, Query(max_length=255, description="Only versions of this name.")] = None,
) -> Page[DatasetView]:
    """All datasets, the last registered first."""
    after = values_of(cursor, int)
    name = None if name is None else name.replace("\0", "")
    last = after[0] if after else None
    rows = await repository.list_datasets(session, caller.project_id, limit + 1, last, name)
    page, more = cut(list(rows), limit)
    items = [DatasetView.of(record) for record in page]
    return Page(items=items, next_cursor=cursor_of(page[-1].number) if more else None)


@router.get("/{dataset_id}", responses=NOT_FOUND)
async def get_dataset(caller: Reader, session: ReadSession, dataset_id: DatasetId) -> DatasetDetail:
    """A dataset with its manifest."""
    record = await service.get_dataset(session, caller.project_id, dataset_id)
    return DatasetDetail(**DatasetView.of(record).model_dump(), manifest=record.manifest)


@router.delete("/{dataset_id}", status_code=204, responses={**NOT_FOUND, **CONFLICT})
async def delete_dataset(
    caller: Labeller, context: InContext, session: WriteSession, dataset_id: DatasetId
) -> None:
    """Forget a dataset. Its index and the URLs of its images end; its files stay where they are."""
    record = await service.get_dataset(session, caller.project_id, dataset_id)
    await registry.unregister(session, record)
    context.grants.clear()


@router.post("/{dataset_id}/revoke-image-urls", status_code=200, responses=NOT_FOUND)
async def revoke_image_urls(
    caller: Admin, context: InContext, session: WriteSession, dataset_id: DatasetId
) -> DatasetView:
    """Revoke all signed URLs of the dataset's images at once. New ones are made under a new grant."""
    record = await service.get_dataset(session, caller.project_id, dataset_id)
    await repository.revoke_grants(session, dataset_id)
    await registry.grant_images(session, dataset_id)
    context.grants.clear()
    return DatasetView.of(record)
