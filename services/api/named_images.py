"""The image of a live question: a registered one by its id, bytes sent along, or a file within the roots."""

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
from services.context import Context
from services.datasets import repository, service
from services.predictions.service import FetchBytes
from services.problems import Problem
from services.storage_roots import OutsideRoots

_IMAGE_ID = re.compile(r"[0-9a-f]{64}")
_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,")
_OURS = re.compile(r"/v1/images/([0-9a-f]{64})(?:\?|$)")


@dataclass(frozen=True)
class NamedImage:
    """An image by its id, and how to get its bytes where they are needed."""

    image_id: str
    fetch: FetchBytes


async def find_image(context: Context, named: str) -> NamedImage:
    """The image that `named` means: an id, one of our URLs, base64 (a data URL too), or a path or URL.

    Raises a Problem: 404, 403 or 422.
    """
    ours = _OURS.search(named) if len(named) < 4000 else None
    if _IMAGE_ID.fullmatch(named) or ours is not None:
        return _registered(context, ours[1] if ours is not None else named)
    if _DATA_URL.match(named):
        return _sent(named.partition(",")[2])
    if "://" in named[:20] or (named.startswith("/") and len(named) < 4000 and named[:2] != "/9"):
        return await asyncio.to_thread(_from_place, context, named)
    return _sent(named)


def _registered(context: Context, image_id: str) -> NamedImage:
    async def fetch() -> bytes:
        async with context.database.reading() as session:
            record = await repository.dataset_with_image(session, image_id)
            sample = (
                None if record is None else await repository.find_sample(session, record.number, image_id)
            )
            if record is None or sample is None:
                raise Problem(404, "image: no registered dataset holds it")
            place = await service.place_of(session, record, sample)
            manifest = Manifest.model_validate(record.manifest)
        return await asyncio.to_thread(context.images.original, place, manifest)

    return NamedImage(image_id, fetch)


def _sent(text: str) -> NamedImage:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Problem(404, "image: no id of an image, no path or URL, and no base64") from None
    return _of_bytes(data)


def _from_place(context: Context, named: str) -> NamedImage:
    if is_web(named):
        raise Problem(403, "image: send its bytes; the service fetches nothing from the web for a question")
    try:
        address = context.roots.check(named)
        limits = InputLimits(max_pixels=context.settings.max_image_pixels)
        return _of_bytes(read_bytes(CorpusImage(uri=address), limits))
    except OutsideRoots as error:
        raise Problem(403, f"image: {error}") from None
    except InputReject as error:
        raise Problem(404, f"image: {error.message}") from None


def _of_bytes(data: bytes) -> NamedImage:
    async def fetch() -> bytes:
        return data

    return NamedImage(image_id_of(data), fetch)
