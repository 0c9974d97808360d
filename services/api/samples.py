"""`/v1/datasets/{id}/samples`: the images of a dataset with their labels, as pages and one by one."""

from collections.abc import Callable
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection

from schemas.labels import Decision, LabelKind, Source
from services.api.dependencies import Reader, ReadSession
from services.api.documented import NOT_FOUND
from services.api.quick_routes import QuickRoute, key_of, quick_way
from services.api.sample_views import SampleView
from services.context import Context, InContext, context_of
from services.datasets import registry, repository, sample_lists, service
from services.datasets.documents import KIND, SOURCE, label_term, split_term, word_terms
from services.datasets.sample_lists import SampleFilter
from services.identifiers import DatasetId
from services.paging import Cursor, Limit, Page, cursor_of, values_of
from services.problems import Problem
from services.security.keys import Scope, read_caller

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=QuickRoute)
_BEFORE_ID = b'{"image_id":"'
_AFTER_ID = len(_BEFORE_ID) + 64


class SampleOrder(StrEnum):
    """`DATASET`: as stored. `CONFIDENCE`: lowest confidence first, without the samples that have none."""

    DATASET = "dataset"
    CONFIDENCE = "confidence"


class SampleQuery(BaseModel):
    """Which samples to list, in which order, and the page."""

    limit: Limit = 20
    cursor: Cursor = None
    order: SampleOrder = SampleOrder.DATASET
    decision: Annotated[
        Decision | None, Query(description="Decision of the sample: the strictest of its parts.")
    ] = None
    label: Annotated[
        str | None,
        Query(max_length=500, description="A whole class, caption or phrase; case is ignored."),
    ] = None
    kind: Annotated[LabelKind | None, Query(description="Samples with a label of this kind.")] = None
    split: Annotated[str | None, Query(max_length=190, description="Samples of this split.")] = None
    source: Annotated[
        Source | None, Query(description="Samples with a label of the corpus, of a model or of a person.")
    ] = None
    text: Annotated[
        str | None, Query(max_length=500, description="Words that all occur somewhere in the sample.")
    ] = None
    min_confidence: Annotated[
        float | None, Query(ge=0, le=1, description="Lower bound of the sample's lowest confidence.")
    ] = None
    max_confidence: Annotated[
        float | None, Query(ge=0, le=1, description="Upper bound of the sample's lowest confidence.")
    ] = None

    @cached_property
    def after(self) -> tuple[Any, ...] | None:
        """Return the values of the cursor. Raises a Problem of 404 if it is not ours."""
        kinds = (int,) if self.order is SampleOrder.DATASET else (float, int)
        return values_of(self.cursor, *kinds)

    @cached_property
    def filter(self) -> SampleFilter:
        """Return which samples to list."""
        terms = [label_term(self.label)] if self.label else []
        terms += [KIND + self.kind] if self.kind else []
        terms += [SOURCE + self.source] if self.source else []
        terms += [split_term(self.split)] if self.split else []
        terms += word_terms(self.text) if self.text else []
        confidences = (self.min_confidence, self.max_confidence)
        return SampleFilter(tuple(dict.fromkeys(terms)), self.decision, *confidences)


class _SampleRequest(SampleQuery):
    dataset_id: DatasetId


async def _list_samples_quickly(request: Request) -> Response | None:
    """Check the key and read the page in one step into a thread."""
    context, key = context_of(request), key_of(request)
    if key is None:
        return None
    given = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    try:
        query = _SampleRequest.model_validate({**dict(given), **request.path_params})
        _ = query.after
    except (ValidationError, Problem):
        return None

    def read(connection: Connection) -> tuple[str, bytes] | None:
        caller = read_caller(connection, key)
        if caller is None or not caller.may(Scope.READ):
            return None
        body = _samples_body(connection, context, caller.project_id, query.dataset_id, query)
        return None if body is None else (caller.key_id, body)

    found = await context.database.read(read)
    if found is None:
        return None
    request.scope["fo1_key"] = found[0]
    return Response(found[1], media_type="application/json")


@router.get("/{dataset_id}/samples", response_model=Page[SampleView], responses=NOT_FOUND)
@quick_way(_list_samples_quickly)
async def list_samples(
    caller: Reader,
    context: InContext,
    dataset_id: DatasetId,
    query: Annotated[SampleQuery, Query()],
) -> Response:
    """The images of a dataset with their labels."""
    _ = query.after  # a wrong cursor is told before a missing dataset
    body = await context.database.read(
        lambda connection: _samples_body(connection, context, caller.project_id, dataset_id, query)
    )
    if body is None:
        raise service.no_dataset(dataset_id)
    return Response(body, media_type="application/json")


@router.get("/{dataset_id}/samples/{image_id}", response_model=SampleView, responses=NOT_FOUND)
async def get_sample(
    caller: Reader,
    context: InContext,
    session: ReadSession,
    dataset_id: DatasetId,
    image_id: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")],
) -> Response:
    """An image of a dataset."""
    record = await service.get_dataset(session, caller.project_id, dataset_id)
    sample = await repository.find_sample(session, record.number, image_id)
    if sample is None:
        raise Problem(404, f"the dataset has no image {image_id}")
    document = await service.stored_document(session, record, sample)
    grant = await repository.valid_grant(session, dataset_id, registry.GALLERY)
    path_of = context.signer.paths(grant.id if grant else "")
    parts = _with_url(document, sample.position, context.signer.base_url, path_of)
    return Response(b"".join(parts), media_type="application/json")


def _samples_body(
    connection: Connection, context: Context, project_id: str, dataset_id: str, query: SampleQuery
) -> bytes | None:
    """Return a page of samples as JSON; None if the project has no such dataset."""
    dataset = sample_lists.find_listed(connection, project_id, dataset_id, registry.GALLERY)
    if dataset is None:
        return None
    shape = (query.filter, query.order, query.after, query.limit)
    key = (dataset_id, dataset.grant_id, context.signer.expires(), *shape)
    body = context.pages_of_samples.get(key)
    if body is None:
        page = _read_page(connection, dataset.number, *shape)
        body = _page_body(page, context, dataset.grant_id)
        if dataset.finished:
            context.pages_of_samples.put(key, body)
    return body


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
    path_of, base_url = context.signer.paths(grant_id), context.signer.base_url
    parts: list[bytes | memoryview] = []
    for document, position in zip(page.documents, page.positions, strict=True):
        parts += [b",", *_with_url(document, position, base_url, path_of)]
    next_cursor = f'"{cursor_of(*page.after)}"' if page.after else "null"
    # Joined once: a page is up to a megabyte, and every step that copies it costs.
    return b"".join([b'{"items":[', *parts[1:], f'],"next_cursor":{next_cursor}}}'.encode()])


def _with_url(
    document: bytes, position: int, base_url: str, path_of: Callable[[str], str]
) -> tuple[bytes, memoryview]:
    """Return the document with the image's URL and the position at its front, in two parts."""
    path = path_of(document[len(_BEFORE_ID) : _AFTER_ID].decode())
    start = f'{{"image_url":"{base_url}{path}","position":{position},'
    return start.encode(), memoryview(document)[1:]
