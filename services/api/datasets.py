"""`/v1/datasets`: register finished datasets and list their samples."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from schemas.labels import Decision, LabelKind, Source
from services.api.dependencies import Admin, Labeller, Reader, ReadSession, WriteSession
from services.api.documented import CONFLICT, NOT_FOUND
from services.context import Context, InContext, context_of
from services.database.models import DatasetRecord, DatasetState
from services.datasets import registry, repository, sample_lists, service
from services.datasets.documents import KIND, SOURCE, SPLIT, label_term, word_terms
from services.datasets.sample_lists import SampleFilter
from services.idempotency import IdempotencyKey, answer_once, earlier_answer
from services.identifiers import DatasetId
from services.paging import Cursor, Limit, Page, cursor_of, cut, values_of
from services.problems import Problem

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])
_BEFORE_ID = b'{"image_id":"'


class DatasetRequest(BaseModel):
    """A finished dataset made elsewhere: its folder, within the storage roots."""

    model_config = ConfigDict(extra="forbid")

    address: str = Field(min_length=1, max_length=4000)


class DatasetView(BaseModel):
    """A dataset. All its samples can be listed once `state` is `ready`, until then `num_samples` of them.

    `created_by`: the id of the key that registered it or started its job.
    """

    id: str
    name: str
    version: str
    parent: str | None
    address: str
    state: DatasetState
    error: str | None
    num_samples: int
    counts: dict[str, Any]
    created_by: str | None
    created_at: datetime

    @classmethod
    def of(cls, record: DatasetRecord) -> "DatasetView":
        """Return the view of a row."""
        names = [name for name in cls.model_fields if name != "counts"]
        counts = record.manifest.get("counts", {})
        return cls(counts=counts, **{name: getattr(record, name) for name in names})


class DatasetDetail(DatasetView):
    """A dataset with its manifest."""

    manifest: dict[str, Any]


class SampleView(BaseModel):
    """An image with its labels, boxes in absolute pixels of the EXIF-oriented image.

    `confidence`: the lowest of its labels. `image_url`: needs no key, expires and can be revoked.
    """

    model_config = ConfigDict(extra="allow")

    image_url: str
    position: int
    image_id: str
    uri: str
    width: int
    height: int
    caption: str | None
    decision: str | None
    confidence: float | None
    regions: list[dict[str, Any]]
    groundings: list[dict[str, Any]]
    counts: list[dict[str, Any]]
    answers: list[dict[str, Any]]


class SampleOrder(StrEnum):
    """`DATASET`: as stored. `CONFIDENCE`: lowest confidence first, without the samples that have none."""

    DATASET = "dataset"
    CONFIDENCE = "confidence"


async def sample_filter_of(
    decision: Annotated[
        Decision | None, Query(description="Decision of the sample: the strictest of its parts.")
    ] = None,
    label: Annotated[
        str | None,
        Query(max_length=500, description="A whole class, caption or phrase; case is ignored."),
    ] = None,
    kind: Annotated[LabelKind | None, Query(description="Samples with a label of this kind.")] = None,
    split: Annotated[str | None, Query(max_length=190, description="Samples of this split.")] = None,
    source: Annotated[
        Source | None, Query(description="Samples with a label of the corpus, of a model or of a person.")
    ] = None,
    text: Annotated[
        str | None, Query(max_length=500, description="Words that all occur somewhere in the sample.")
    ] = None,
    min_confidence: Annotated[
        float | None, Query(ge=0, le=1, description="Lower bound of the sample's lowest confidence.")
    ] = None,
    max_confidence: Annotated[
        float | None, Query(ge=0, le=1, description="Upper bound of the sample's lowest confidence.")
    ] = None,
) -> SampleFilter:
    """Return the filter of a request for samples."""
    terms = [*([label_term(label)] if label else []), *([KIND + kind] if kind else [])]
    terms += [SOURCE + source] if source else []
    terms += [SPLIT + split.replace("\0", "")] if split else []
    terms += word_terms(text) if text else []
    return SampleFilter(tuple(dict.fromkeys(terms)), decision, min_confidence, max_confidence)


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


@router.get("/{dataset_id}/samples", response_model=Page[SampleView], responses=NOT_FOUND)
async def list_samples(
    caller: Reader,
    request: Request,
    dataset_id: DatasetId,
    sample_filter: Annotated[SampleFilter, Depends(sample_filter_of)],
    limit: Limit = 20,
    cursor: Cursor = None,
    order: SampleOrder = SampleOrder.DATASET,
) -> Response:
    """The images of a dataset with their labels."""
    context = context_of(request)
    kinds = (int,) if order is SampleOrder.DATASET else (float, int)
    after = values_of(cursor, *kinds)

    def read(connection: Connection) -> bytes:
        dataset = sample_lists.find_listed(connection, caller.project_id, dataset_id, registry.GALLERY)
        if dataset is None:
            raise service.no_dataset(dataset_id)
        key = (dataset_id, dataset.grant_id, context.signer.expires(), sample_filter, order, after, limit)
        body = context.pages_of_samples.get(key)
        if body is None:
            page = _read_page(connection, dataset.number, sample_filter, order, after, limit)
            body = _page_body(page, context, dataset.grant_id)
            if dataset.finished:
                context.pages_of_samples.put(key, body)
        return body

    return Response(await context.database.read(read), media_type="application/json")


@router.get("/{dataset_id}/samples/{image_id}", responses=NOT_FOUND)
async def get_sample(
    caller: Reader,
    context: InContext,
    session: ReadSession,
    dataset_id: DatasetId,
    image_id: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")],
) -> SampleView:
    """An image of a dataset."""
    record = await service.get_dataset(session, caller.project_id, dataset_id)
    sample = await repository.find_sample(session, record.number, image_id)
    if sample is None:
        raise Problem(404, f"the dataset has no image {image_id}")
    page = await service.list_samples(session, record, SampleFilter(), sample.position - 1, 1)
    grant = await repository.valid_grant(session, dataset_id, registry.GALLERY)
    return SampleView.model_validate_json(
        _with_url(
            page.documents[0],
            sample.position,
            context.signer.base_url,
            context.signer.paths(grant.id if grant else ""),
        )
    )


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


def _read_page(
    connection: Connection,
    number: int,
    sample_filter: SampleFilter,
    order: SampleOrder,
    after: tuple[Any, ...] | None,
    limit: int,
) -> sample_lists.SamplePage:
    if order is SampleOrder.CONFIDENCE:
        last = None if after is None else (after[0], after[1])
        return sample_lists.list_least_sure(connection, number, sample_filter, last, limit)
    first = -1 if after is None else after[0]
    return sample_lists.list_samples(connection, number, sample_filter, first, limit)


def _page_body(page: sample_lists.SamplePage, context: Context, grant_id: str) -> bytes:
    path_of = context.signer.paths(grant_id)
    items = [
        _with_url(document, position, context.signer.base_url, path_of)
        for document, position in zip(page.documents, page.positions, strict=True)
    ]
    next_cursor = f'"{cursor_of(*page.after)}"' if page.after else "null"
    return b'{"items":[' + b",".join(items) + b'],"next_cursor":' + next_cursor.encode() + b"}"


def _with_url(document: bytes, position: int, base_url: str, path_of: Callable[[str], str]) -> bytes:
    """Insert the image's URL and the position at the front of the document, without parsing it."""
    path = path_of(document[len(_BEFORE_ID) :][:64].decode())
    return b'{"image_url":"%s%s","position":%d,%s' % (
        base_url.encode(),
        path.encode(),
        position,
        document[1:],
    )
