"""Datasets the service knows: registered by their folder, each finished version once."""

import hashlib

from sqlalchemy.ext.asyncio import AsyncSession

from fo1_data.dataset.manifest import dump_json
from schemas.dataset import Manifest
from services.database.locks import lock_name
from services.database.models import DatasetRecord, ImageGrant, now
from services.datasets import repository
from services.identifiers import new_id

GALLERY = "gallery"


async def register(session: AsyncSession, address: str, manifest: Manifest) -> DatasetRecord:
    """The record of the finished dataset at `address`; a new one is indexed in the background."""
    document = manifest.model_dump(mode="json")
    manifest_sha256 = hashlib.sha256(dump_json(document)).hexdigest()
    await lock_name(session, f"dataset {address}")
    known = await repository.find_by_address(session, address, manifest_sha256)
    if known is not None:
        return known
    record = DatasetRecord(
        id=new_id("ds"),
        address=address,
        manifest_sha256=manifest_sha256,
        name=_short(manifest.name),
        version=_short(manifest.version),
        parent=_short(manifest.parent) if manifest.parent else None,
        manifest=document,
        state="indexing",
        num_samples=0,
        created_at=now(),
    )
    session.add(record)
    await session.flush()
    await grant_images(session, record.id)
    return record


def _short(text: str) -> str:
    """As much of a text as a column takes."""
    return text.replace("\0", "")[:255]


async def grant_images(session: AsyncSession, dataset_id: str, purpose: str = GALLERY) -> ImageGrant:
    """The right that a purpose's signed URLs of a dataset's images are made under; made where missing."""
    known = await repository.valid_grant(session, dataset_id, purpose)
    if known is not None:
        return known
    grant = ImageGrant(id=new_id("grant"), dataset_id=dataset_id, purpose=purpose, created_at=now())
    session.add(grant)
    await session.flush()
    return grant
