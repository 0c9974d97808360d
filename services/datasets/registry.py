"""Registers datasets by their folder, each finished version once, and grants access to their images."""

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fo1_data.dataset.manifest import manifest_digest
from schemas.dataset import Manifest
from services.database.locks import lock_name
from services.database.models import (
    DEFAULT_PROJECT,
    DatasetRecord,
    DatasetState,
    ImageGrant,
    Job,
    utc_now,
)
from services.database.review_tables import Review
from services.datasets import repository
from services.identifiers import new_id
from services.problems import Problem

GALLERY = "gallery"


async def register(
    session: AsyncSession,
    address: str,
    manifest: Manifest,
    project_id: str = DEFAULT_PROJECT,
    created_by: str | None = None,
) -> DatasetRecord:
    """Return a project's record of the dataset at `address`; a new one is indexed in the background.

    One that waits to be indexed again is tried at once.
    """
    document = manifest.model_dump(mode="json")
    manifest_sha256 = manifest_digest(manifest)
    await lock_name(session, f"dataset {address}")
    existing = await repository.find_by_address(session, project_id, address, manifest_sha256)
    if existing is not None:
        if existing.retry_at is not None:
            existing.retry_at = utc_now()
        return existing
    record = DatasetRecord(
        id=new_id("ds"),
        project_id=project_id,
        created_by=created_by,
        address=address,
        manifest_sha256=manifest_sha256,
        name=_short(manifest.name),
        version=_short(manifest.version),
        parent=_short(manifest.parent) if manifest.parent else None,
        manifest=document,
        state=DatasetState.INDEXING,
        num_samples=0,
        created_at=utc_now(),
    )
    session.add(record)
    await session.flush()
    await grant_images(session, record.id)
    return record


async def hold(session: AsyncSession, record: DatasetRecord) -> None:
    """Read a record again and keep it from being forgotten until the transaction ends.

    Raises a Problem of 404 if it has been forgotten since it was read.
    """
    await lock_name(session, f"dataset {record.address}")
    query = select(DatasetRecord).where(DatasetRecord.id == record.id)
    if (await session.scalars(query.execution_options(populate_existing=True))).first() is None:
        raise Problem(404, f"no dataset has the id {record.id}")


async def unregister(session: AsyncSession, record: DatasetRecord) -> None:
    """Forget a dataset: its index and image URLs are deleted, its files stay.

    Raises a Problem of 409 while a review shows its images, or while it is being indexed.
    """
    await hold(session, record)
    if record.state == DatasetState.INDEXING:
        raise Problem(409, "the dataset is being indexed: try again when that is done")
    review = await session.scalar(select(Review.id).where(Review.dataset_id == record.id).limit(1))
    if review is not None:
        raise Problem(409, f"the review {review} shows the images of this dataset")
    await repository.delete_index(session, record.number)
    await session.execute(delete(ImageGrant).where(ImageGrant.dataset_id == record.id))
    await session.execute(update(Job).where(Job.dataset_id == record.id).values(dataset_id=None))
    await session.delete(record)
    await session.flush()


def _short(text: str) -> str:
    """Cut a text to the length of a column."""
    return text.replace("\0", "")[:255]


async def grant_images(session: AsyncSession, dataset_id: str, purpose: str = GALLERY) -> ImageGrant:
    """Return the valid grant for signed URLs of a dataset's images for a purpose; create it if missing."""
    existing = await repository.valid_grant(session, dataset_id, purpose)
    if existing is not None:
        return existing
    grant = ImageGrant(id=new_id("grant"), dataset_id=dataset_id, purpose=purpose, created_at=utc_now())
    session.add(grant)
    await session.flush()
    return grant
