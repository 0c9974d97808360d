"""The image of a live question: the id of a registered image, its bytes, or a file in the storage roots."""

import asyncio
import base64
import binascii
import re
from dataclasses import dataclass

from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.images import InputLimits, image_id_of
from fo1_data.errors import InputReject
from fo1_data.storage.addresses import is_web
from schemas.corpus import CorpusImage
from schemas.dataset import Manifest
from schemas.rasters import RasterRecord
from services.context import Context
from services.datasets import repository, service
from services.datasets.image_place import recorded_raster
from services.predictions.service import FetchBytes
from services.problems import Problem
from services.storage_roots import OutsideRoots, StorageRoots

_IMAGE_ID = re.compile(r"[0-9a-f]{64}")
_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,")
_OUR_URL = re.compile(r"/v1/images/([0-9a-f]{64})(?:\?|$)")
_VIEW = re.compile(r"[?&]view=(\d{1,7}),(\d{1,7}),(\d{1,7}),(\d{1,7})(?:&|$)")


@dataclass(frozen=True)
class NamedImage:
    """An image's id, and a function that reads its bytes if they are needed.

    `raster`: what its row records, if it is a raster in a dataset.
    """

    image_id: str
    fetch: FetchBytes
    raster: RasterRecord | None = None


async def find_image(context: Context, project_id: str, name: str) -> NamedImage:
    """Return the image of an id, one of our URLs, base64 (a data URL too), or a path or URL.

    An id or URL is of an image in a dataset of the project, a path is within the project's storage roots. The
    URL of a view of a large image names that picture alone, as it is shown.

    Raises a Problem: 403, 404 or 422.
    """
    our_url = _OUR_URL.search(name) if len(name) < 4000 else None
    if _IMAGE_ID.fullmatch(name) or our_url is not None:
        view = _VIEW.search(name) if our_url is not None else None
        return await _registered(context, project_id, our_url[1] if our_url is not None else name, view)
    if _DATA_URL.match(name):
        return _from_base64(name.partition(",")[2])
    # The base64 of a JPEG starts with /9.
    if "://" in name[:20] or (name.startswith("/") and len(name) < 4000 and name[:2] != "/9"):
        roots = await context.project_roots.for_requests(project_id)
        return await asyncio.to_thread(_from_place, context, roots, name)
    return _from_base64(name)


async def _registered(
    context: Context, project_id: str, image_id: str, view: re.Match[str] | None
) -> NamedImage:
    # Checked here and not in `fetch`: the Predictor may still have an image that another project asked about.
    async with context.database.reading() as session:
        record = await repository.dataset_with_image(session, project_id, image_id)
        sample = None if record is None else await repository.find_sample(session, record.number, image_id)
        if record is None or sample is None:
            raise Problem(404, "image: no registered dataset has this image")
        place = await service.image_place(session, record, sample)
    manifest = Manifest.model_validate(record.manifest)
    if view is not None:
        x_min, y_min, x_max, y_max = map(int, view.groups())
        roots = await context.project_roots.of(project_id)
        served = await asyncio.to_thread(
            context.images.serve_view, place, manifest, roots, (x_min, y_min, x_max, y_max)
        )
        return _from_bytes(served.data)

    async def fetch() -> bytes:
        roots = await context.project_roots.of(project_id)
        return await asyncio.to_thread(context.images.original, place, manifest, roots)

    raster = await asyncio.to_thread(recorded_raster, place, manifest)
    return NamedImage(image_id, fetch, raster)


def _from_base64(text: str) -> NamedImage:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Problem(404, "image: neither an image id, a path, a URL nor base64") from None
    return _from_bytes(data)


def _from_place(context: Context, roots: StorageRoots, name: str) -> NamedImage:
    if is_web(name):
        raise Problem(403, "image: send its bytes; the service fetches nothing from the web for a question")
    try:
        address = roots.check(name)
        limits = InputLimits(max_pixels=context.settings.max_image_pixels)
        return _from_bytes(read_bytes(CorpusImage(uri=address), limits))
    except OutsideRoots as error:
        raise Problem(403, f"image: {error}") from None
    except InputReject as error:
        raise Problem(404, f"image: {error.message}") from None


def _from_bytes(data: bytes) -> NamedImage:
    async def fetch() -> bytes:
        return data

    return NamedImage(image_id_of(data), fetch)
