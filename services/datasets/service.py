"""Reads dataset folders to register, lists samples, finds where an image is stored."""

import json

from sqlalchemy.ext.asyncio import AsyncSession

from fo1_data.dataset.manifest import read_manifest
from fo1_data.errors import Fo1Error, one_line
from fo1_data.storage.store import open_store
from fo1_data.storage.store_faults import store_failed
from schemas.dataset import Manifest
from services.database.models import DatasetRecord, Sample
from services.datasets import repository, sample_lists
from services.datasets.image_place import ImagePlace
from services.datasets.sample_lists import SampleFilter, SamplePage, image_of
from services.problems import RETRY, Problem
from services.storage_roots import OutsideRoots, StorageRoots


async def get_dataset(session: AsyncSession, project_id: str, dataset_id: str) -> DatasetRecord:
    """Return a dataset of a project. Raises a Problem of 404."""
    record = await repository.dataset_of_project(session, project_id, dataset_id)
    if record is None:
        raise no_dataset(dataset_id)
    return record


def no_dataset(dataset_id: str) -> Problem:
    """Return the answer to an id that no dataset has."""
    return Problem(404, f"no dataset has the id {dataset_id}")


def read_registered(address: str, roots: StorageRoots) -> tuple[str, Manifest]:
    """Return the absolute address and the manifest of a finished dataset. Reads storage: run it in a thread.

    Raises a Problem: of 403 if it is outside the storage roots, of 404 if there is no finished dataset, of
    503 if its store does not answer.
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
        if store_failed(error):
            raise Problem(503, f"address: {one_line(error)}; try again later", RETRY) from None
        raise Problem(404, f"address: {error}") from None


async def list_samples(
    session: AsyncSession, record: DatasetRecord, sample_filter: SampleFilter, after: int, limit: int
) -> SamplePage:
    """As `sample_lists.list_samples`, in a session."""
    return await session.run_sync(
        lambda inner: sample_lists.list_samples(
            inner.connection(), record.number, sample_filter, after, limit
        )
    )


async def list_least_sure(
    session: AsyncSession,
    record: DatasetRecord,
    sample_filter: SampleFilter,
    after: tuple[float, int] | None,
    limit: int,
) -> SamplePage:
    """As `sample_lists.list_least_sure`, in a session."""
    return await session.run_sync(
        lambda inner: sample_lists.list_least_sure(
            inner.connection(), record.number, sample_filter, after, limit
        )
    )


async def stored_document(session: AsyncSession, record: DatasetRecord, sample: Sample) -> bytes:
    """Return the JSON text of a sample. Raises a Problem of 503 if it is being indexed again since it was
    found."""
    texts = await session.run_sync(
        lambda inner: sample_lists.documents_at(inner.connection(), record.number, [sample.position])
    )
    document = texts.get(sample.position)
    if document is None or image_of(document) != sample.image_id:
        raise Problem(503, "the dataset is being indexed again: try again later", RETRY)
    return document


async def image_place(session: AsyncSession, record: DatasetRecord, sample: Sample) -> ImagePlace:
    """Return where the bytes of a sample's image are. Raises a Problem as `stored_document`."""
    document = json.loads(await stored_document(session, record, sample))
    return ImagePlace(
        image_id=sample.image_id,
        uris=tuple(document["uris"] or [document["uri"]]),
        orientation=document["orientation"] or 1,
        dataset_address=record.address,
        file=sample.file,
        row_group=sample.row_group,
        row=sample.row,
    )


def calibration_of(record: DatasetRecord) -> str | None:
    """Return where the dataset's calibration was read: by the routing that made it, else by its run."""
    routing, config = record.manifest.get("routing") or {}, record.manifest.get("config") or {}
    address = routing.get("calibration") or config.get("calibration")
    return address if isinstance(address, str) and address else None
