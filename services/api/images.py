"""`/v1/images/{image_id}`: the EXIF-oriented image, by key or signed URL, with ranges and CORS."""

import asyncio
import re
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.dataset import Manifest
from services.api.dependencies import caller_of_request, guard
from services.api.documented import NOT_FOUND, problem_answer
from services.context import Context, InContext
from services.database.models import DatasetRecord
from services.datasets import repository, service
from services.datasets.image_place import ImagePlace
from services.datasets.images import ServedImage, Width
from services.problems import Problem
from services.security.keys import Caller, Scope

router = APIRouter(tags=["images"])
ImageId = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the encoded bytes.")]
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_POLICY = "default-src 'none'; sandbox"
_IMAGES: dict[str, dict[str, str]] = {"image/jpeg": {}, "image/png": {}, "image/gif": {}, "image/webp": {}}
_SIGNED = frozenset({"grant", "expires", "signature"})


async def caller_by_key(request: Request, context: InContext) -> Caller | None:
    """Return the caller of a key; None for a signed URL. Raises a Problem of 401 or 403."""
    if request.query_params.keys() >= _SIGNED:
        return None
    caller = await caller_of_request(request, context)
    if not caller.may(Scope.READ):
        raise Problem(403, "this key lacks the scope read")
    return caller


ByKey = Annotated[Caller | None, guard(caller_by_key, caller_by_key)]


@router.head("/v1/images/{image_id}", include_in_schema=False)
@router.get(
    "/v1/images/{image_id}",
    response_class=Response,
    responses={
        200: {"description": "The image, upright.", "content": _IMAGES},
        206: {"description": "The requested range of the image.", "content": _IMAGES},
        304: {"description": "The image has not changed."},
        416: problem_answer("The range is outside the image."),
        **NOT_FOUND,
    },
)
async def get_image(
    request: Request,
    context: InContext,
    image_id: ImageId,
    grant: Annotated[str | None, Query(max_length=64)] = None,
    expires: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    signature: Annotated[str | None, Query(max_length=128)] = None,
    caller: ByKey = None,
    width: Annotated[Width | None, Query(description="Maximum width in pixels.")] = None,
    view: Annotated[
        str | None,
        Query(
            pattern=r"^\d{1,7},\d{1,7},\d{1,7},\d{1,7}$",
            description="Rectangle of the image, `x_min,y_min,x_max,y_max` in its pixels, "
            "shrunk to 2048 pixels.",
        ),
    ] = None,
) -> Response:
    """The image with this id in a registered dataset, in the frame of the dataset's boxes."""
    dataset_id = await _granted_dataset(context, caller, image_id, grant, expires, signature)
    async with context.database.reading() as session:
        if caller is not None:
            record = await repository.dataset_with_image(session, caller.project_id, image_id)
        else:
            record = await repository.get_dataset(session, dataset_id or "")
        record, place = await _place(session, record, image_id)
    manifest = Manifest.model_validate(record.manifest)
    roots = await context.project_roots.of(record.project_id)
    if view is None:
        served = await asyncio.to_thread(context.images.serve, place, manifest, roots, width)
    else:
        x_min, y_min, x_max, y_max = map(int, view.split(","))
        rectangle = (x_min, y_min, x_max, y_max)
        served = await asyncio.to_thread(context.images.serve_view, place, manifest, roots, rectangle)
    return _answer(request, served, _headers(request, context, served))


async def _granted_dataset(
    context: Context,
    caller: Caller | None,
    image_id: str,
    grant: str | None,
    expires: int | None,
    signature: str | None,
) -> str | None:
    """Return the dataset that a signed URL opens; None for a caller with a key. Raises a Problem of 403."""
    if caller is not None:
        return None
    if (
        grant is None
        or expires is None
        or signature is None
        or not context.signer.is_valid(image_id, grant, expires, signature)
    ):
        raise Problem(403, "this link is not valid or has expired")
    dataset_id = await context.grants.dataset_of(grant)
    if dataset_id is None:
        raise Problem(403, "this link was revoked")
    return dataset_id


async def _place(
    session: AsyncSession, record: DatasetRecord | None, image_id: str
) -> tuple[DatasetRecord, ImagePlace]:
    sample = None if record is None else await repository.find_sample(session, record.number, image_id)
    if record is None or sample is None:
        raise Problem(404, "no registered dataset holds this image")
    return record, await service.image_place(session, record, sample)


def _headers(request: Request, context: Context, served: ServedImage) -> dict[str, str]:
    headers = {
        "ETag": served.etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=86400",
        "Content-Security-Policy": _POLICY,
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Vary": "Origin",
    }
    origin = request.headers.get("origin")
    if origin is not None and origin == browser_origin(context.settings.label_studio_url):
        headers["Access-Control-Allow-Origin"] = origin
    return headers


def browser_origin(url: str | None) -> str | None:
    """Return the origin of a URL, as browsers send it."""
    if not url:
        return None
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _answer(request: Request, served: ServedImage, headers: dict[str, str]) -> Response:
    if served.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    header = request.headers.get("range")
    stale = request.headers.get("if-range", served.etag) != served.etag
    match = _RANGE.fullmatch(header.strip()) if header and not stale else None
    if match is None or match[0] == "bytes=-":
        return Response(served.data, media_type=served.media_type, headers=headers)
    total = len(served.data)
    first, last = _span(match[1], match[2], total)
    if first >= total or first > last:
        raise Problem(416, f"the image has {total} bytes", {"Content-Range": f"bytes */{total}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{total}"
    return Response(served.data[first : last + 1], 206, headers, served.media_type)


def _span(first: str, last: str, total: int) -> tuple[int, int]:
    """Return the first and last byte of a range of `total` bytes; without `first`, the last bytes."""
    if not first:
        return (total - min(int(last[:18]), total), total - 1) if int(last[:18]) else (total, total)
    return int(first[:18]), min(int(last[:18]), total - 1) if last else total - 1
