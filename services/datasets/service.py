"""Reads dataset folders to register, lists samples, finds where an image is stored."""

import json
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from fo1_data.dataset.manifest import read_manifest
from fo1_data.errors import Fo1Error
from fo1_data.storage.store import open_store
from schemas.dataset import Manifest
from services.database.models import DatasetRecord, Sample
from services.datasets import repository
from services.datasets.documents import unpack
from services.datasets.images import ImagePlace
from services.datasets.repository import SampleFilter
from services.problems import Problem
from services.storage_roots import OutsideRoots, StorageRoots


@dataclass(frozen=True)
class SamplePage:
    """Documents of samples as JSON texts, and where the next page starts (None: this is the last page)."""

    documents: list[bytes]
    positions: list[int]
    after: tuple[float | int, ...] | None


async def get_dataset(session: AsyncSession, dataset_id: str) -> DatasetRecord:
    """Return a dataset. Raises a Problem of 404."""
    record = await repository.get_dataset(session, dataset_id)
    if record is None:
        raise Problem(404, f"no dataset has the id {dataset_id}")
    return record


def read_registered(address: str, roots: StorageRoots) -> tuple[str, Manifest]:
    """Return the absolute address and the manifest of a finished dataset. Reads storage: run it in a thread.

    Raises a Problem: of 403 if it is outside the storage roots, of 404 if there is no finished dataset.
    """
    try:
        absolute = roots.check(address)
        store = open_store(absolute)
        manifest = read_manifest(store)
        for file in manifest.files:
            roots.check(store.address(file.path))
        return absolute, manifest
    except OutsideRoots as error:
        raise Problem(403, f"address: {error}") from None
    except (Fo1Error, OSError) as error:
        raise Problem(404, f"address: {error}") from None


async def list_samples(
    session: AsyncSession, record: DatasetRecord, sample_filter: SampleFilter, after: int, limit: int
) -> SamplePage:
    """Return matching samples in the dataset's order, after the position `after`."""
    matches = await repository.find_positions(session, record.number, sample_filter, after, limit + 1)
    positions = matches[:limit]
    next_after = (positions[-1],) if len(matches) > limit else None
    return SamplePage(await _documents(session, record.number, positions), positions, next_after)


async def list_least_sure(
    session: AsyncSession,
    record: DatasetRecord,
    sample_filter: SampleFilter,
    after: tuple[float, int] | None,
    limit: int,
) -> SamplePage:
    """Return matching samples by their lowest confidence, rising, after this confidence and position."""
    matches = await repository.find_least_sure(session, record.number, sample_filter, after, limit + 1)
    page = matches[:limit]
    positions = [position for _, position in page]
    next_after = page[-1] if len(matches) > limit else None
    return SamplePage(await _documents(session, record.number, positions), positions, next_after)


async def place_of(session: AsyncSession, record: DatasetRecord, sample: Sample) -> ImagePlace:
    """Return where the bytes of a sample's image are."""
    text = (await _documents(session, record.number, [sample.position]))[0]
    document = json.loads(text)
    return ImagePlace(
        image_id=sample.image_id,
        uris=tuple(document["uris"] or [document["uri"]]),
        orientation=document["orientation"] or 1,
        dataset_address=record.address,
        file=sample.file,
        row_group=sample.row_group,
        row=sample.row,
    )


async def _documents(session: AsyncSession, number: int, positions: list[int]) -> list[bytes]:
    packed = await repository.documents_at(session, number, positions)
    return [unpack(packed[position]) for position in positions if position in packed]
