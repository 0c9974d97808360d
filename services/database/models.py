"""The tables of the service but those of reviews (`services.database.review_tables`), on one base.

Times are aware UTC. Ids are those of `services.identifiers`, so that they sort by age. A dataset has a
number beside its id: the rows of its index are many, and carry the number.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcTime(TypeDecorator[datetime]):
    """A moment in UTC, aware on both sides (SQLite forgets the zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without its zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {
        datetime: UtcTime,
        dict[str, Any]: JSON,
        list[str]: JSON,
        str: String(255),
        bytes: LargeBinary,
    }


class ApiKey(Base):
    """A key of the service; of the key itself only a hash is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(default="")
    scopes: Mapped[list[str]]
    secret_sha256: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    revoked_at: Mapped[datetime | None]


class Job(Base):
    """A labelling run asked for by HTTP. `config` is the resolved run model.

    `submission_id` names the driver's try on Ray. `checked_at` is when a service process last looked
    after it. `progress` and `counts` are copies of what the run's folder said last.
    """

    __tablename__ = "jobs"
    __table_args__ = (Index("jobs_by_state", "state", "id"), Index("jobs_by_out", "out"))

    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    config: Mapped[dict[str, Any]]
    out: Mapped[str] = mapped_column(Text)
    attempt: Mapped[int] = mapped_column(default=0)
    submission_id: Mapped[str | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    progress: Mapped[dict[str, Any] | None]
    counts: Mapped[dict[str, Any] | None]
    error: Mapped[str | None] = mapped_column(Text)
    dataset_id: Mapped[str | None]
    created_by: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    checked_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]


class JobEvent(Base):
    """Something that happened to a job, in the order of the ids."""

    __tablename__ = "job_events"
    __table_args__ = (Index("job_events_by_job", "job_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    kind: Mapped[str]
    data: Mapped[dict[str, Any]]
    at: Mapped[datetime] = mapped_column(default=now)


class DatasetRecord(Base):
    """A finished dataset folder that the service knows. `state`: `indexing`, `ready` or `failed`."""

    __tablename__ = "datasets"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(unique=True)
    address: Mapped[str] = mapped_column(Text)
    manifest_sha256: Mapped[str]
    name: Mapped[str]
    version: Mapped[str]
    parent: Mapped[str | None]
    manifest: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(default="indexing")
    error: Mapped[str | None] = mapped_column(Text)
    num_samples: Mapped[int] = mapped_column(default=0)
    indexer: Mapped[str | None]
    indexer_seen_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        Index("datasets_by_address", "address", "manifest_sha256", unique=True),
        Index("datasets_by_name", "name", "number"),
    )


class Sample(Base):
    """One image of a dataset, as far as lists filter and order: narrow, so that scans are cheap.

    `position` is its place in the dataset's order. `confidence` is the lowest of its labels.
    `file`, `row_group`, `row` say where the whole row lies in Parquet.
    """

    __tablename__ = "samples"

    dataset: Mapped[int] = mapped_column(
        ForeignKey("datasets.number", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    image_id: Mapped[str] = mapped_column(String(64))
    decision: Mapped[str | None] = mapped_column(String(16))
    confidence: Mapped[float | None]
    file: Mapped[int]
    row_group: Mapped[int]
    row: Mapped[int]

    __table_args__ = (
        Index("samples_by_decision", "dataset", "decision", "position"),
        Index("samples_by_confidence", "dataset", "confidence", "position"),
        Index("samples_by_decision_and_confidence", "dataset", "decision", "confidence", "position"),
        Index("samples_by_image", "image_id", "dataset"),
        {"sqlite_with_rowid": False},
    )


class SampleDocument(Base):
    """What a list shows of a sample: JSON, compressed, without pixels and signals."""

    __tablename__ = "sample_documents"
    __table_args__ = ({"sqlite_with_rowid": False},)

    dataset: Mapped[int] = mapped_column(
        ForeignKey("datasets.number", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[bytes]


class SampleTerm(Base):
    """The samples that a label, kind or word (`terms.id`) occurs in."""

    __tablename__ = "sample_terms"
    __table_args__ = ({"sqlite_with_rowid": False},)

    term: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Term(Base):
    """A word (`w:`), label (`l:`) or label kind (`k:`) of a dataset, and how many samples have it.

    `id` is the dataset's number times 2**32, and a count from there.
    """

    __tablename__ = "terms"
    __table_args__ = (Index("terms_by_text", "dataset", "text", unique=True),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    dataset: Mapped[int] = mapped_column(ForeignKey("datasets.number", ondelete="CASCADE"))
    text: Mapped[str]
    num_samples: Mapped[int]


class ImageGrant(Base):
    """The right to fetch a dataset's images by signed URL, until it is revoked."""

    __tablename__ = "image_grants"

    id: Mapped[str] = mapped_column(primary_key=True)
    dataset_id: Mapped[str]
    purpose: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    revoked_at: Mapped[datetime | None]

    __table_args__ = (Index("image_grants_by_dataset", "dataset_id", "id"),)


class IdempotentAnswer(Base):
    """The answer that a creating POST was given, for its repetition with the same Idempotency-Key."""

    __tablename__ = "idempotent_answers"

    api_key_id: Mapped[str] = mapped_column(primary_key=True)
    route: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    body_sha256: Mapped[str]
    status: Mapped[int]
    answer: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)
