"""The tables of the service, except those of reviews (`services.database.review_tables`).

Times are aware UTC. Ids are made by `services.identifiers`, so they sort by creation time. A dataset also has
a number, which the many rows of its index carry instead of the id.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcTime(TypeDecorator[datetime]):
    """A time in UTC, aware when stored and when read (SQLite does not store the zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a time zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def utc_now() -> datetime:
    """Return the current time in UTC."""
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


# The project that everything belongs to which was made before there were projects.
DEFAULT_PROJECT = "prj_default"


class Project(Base):
    """A project: its keys see its jobs, datasets and reviews, and nobody else's.

    `storage_roots`: where its jobs may read and write, within the service's roots. None: all of these.
    """

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    storage_roots: Mapped[list[str] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class ApiKey(Base):
    """An API key; only a hash of the secret is stored. `project_id`: None for a key of the whole service."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(default="")
    scopes: Mapped[list[str]]
    secret_sha256: Mapped[str]
    project_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    revoked_at: Mapped[datetime | None]


class EndedLogin(Base):
    """A login to the dashboard that its owner has ended, kept until its cookie would have expired."""

    __tablename__ = "ended_logins"

    nonce: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]


class Job(Base):
    """A labelling run requested over HTTP. `config`: the resolved `RunConfig`.

    `submission_id`: the driver's id in Ray, one per attempt. `checked_at`: when a service process last
    reconciled the job. `seen_at`: when Ray last answered about it. `progress` and `counts`: copies of the
    latest values in the run's folder. `waits_for`: why it does not label yet; null: it does, or it has ended.
    `log_tail`: the last lines of the log of the driver that ended last. `created_by`: the id of a key.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("jobs_by_state", "state", "id"),
        Index("jobs_by_out", "out"),
        Index("jobs_by_project", "project_id", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(server_default=DEFAULT_PROJECT)
    state: Mapped[str]
    config: Mapped[dict[str, Any]]
    out: Mapped[str] = mapped_column(Text)
    attempt: Mapped[int] = mapped_column(default=0)
    submission_id: Mapped[str | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    progress: Mapped[dict[str, Any] | None]
    counts: Mapped[dict[str, Any] | None]
    error: Mapped[str | None] = mapped_column(Text)
    waits_for: Mapped[str | None] = mapped_column(Text)
    log_tail: Mapped[str | None] = mapped_column(Text)
    dataset_id: Mapped[str | None]
    created_by: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    checked_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]


class JobEvent(Base):
    """Something that happened to a job. Ids give the order."""

    __tablename__ = "job_events"
    __table_args__ = (Index("job_events_by_job", "job_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    kind: Mapped[str]
    data: Mapped[dict[str, Any]]
    at: Mapped[datetime] = mapped_column(default=utc_now)


class DatasetState(StrEnum):
    """State of a registered dataset. `FAILED`: it could not be indexed; its error says why.

    A `READY` dataset with an error has the index of before: it could not be made again.
    """

    INDEXING = "indexing"
    READY = "ready"
    FAILED = "failed"


class DatasetRecord(Base):
    """A registered dataset: one finished version in one folder. `state`: a `DatasetState`.

    `retry_at`: when it is indexed again whose files could not be reached; null: it is not. `created_by`: the
    id of the key that registered it or started its job.
    """

    __tablename__ = "datasets"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(unique=True)
    project_id: Mapped[str] = mapped_column(server_default=DEFAULT_PROJECT)
    address: Mapped[str] = mapped_column(Text)
    manifest_sha256: Mapped[str]
    name: Mapped[str]
    version: Mapped[str]
    parent: Mapped[str | None]
    manifest: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(default=DatasetState.INDEXING)
    error: Mapped[str | None] = mapped_column(Text)
    num_samples: Mapped[int] = mapped_column(default=0)
    indexer: Mapped[str | None]
    indexer_seen_at: Mapped[datetime | None]
    retry_at: Mapped[datetime | None]
    created_by: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    __table_args__ = (
        Index("datasets_by_address", "project_id", "address", "manifest_sha256", unique=True),
        Index("datasets_by_name", "project_id", "name", "number"),
        Index("datasets_by_project", "project_id", "number"),
    )


class Sample(Base):
    """The columns of an image by which lists filter and sort: few, so that scans are cheap.

    `position`: its place in the dataset's order. `confidence`: the lowest of its labels. `file`,
    `row_group`, `row`: where its whole row is in Parquet.
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
    """The document of a sample that lists show: compressed JSON without pixels and signals."""

    __tablename__ = "sample_documents"
    __table_args__ = ({"sqlite_with_rowid": False},)

    dataset: Mapped[int] = mapped_column(
        ForeignKey("datasets.number", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[bytes]


class SampleTerm(Base):
    """The samples in which a term (`terms.id`) occurs."""

    __tablename__ = "sample_terms"
    __table_args__ = ({"sqlite_with_rowid": False},)

    term: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


# The ids of terms that each dataset has.
TERM_SPAN = 2**32


class Term(Base):
    """A word (`w:`), label (`l:`) or label kind (`k:`) of a dataset, and the number of samples with it.

    `id`: the dataset's number times TERM_SPAN, plus a running number.
    """

    __tablename__ = "terms"
    __table_args__ = (Index("terms_by_text", "dataset", "text", unique=True),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    dataset: Mapped[int] = mapped_column(ForeignKey("datasets.number", ondelete="CASCADE"))
    text: Mapped[str]
    num_samples: Mapped[int]


class ImageGrant(Base):
    """The permission to fetch a dataset's images by signed URL, until it is revoked."""

    __tablename__ = "image_grants"

    id: Mapped[str] = mapped_column(primary_key=True)
    dataset_id: Mapped[str]
    purpose: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    revoked_at: Mapped[datetime | None]

    __table_args__ = (Index("image_grants_by_dataset", "dataset_id", "id"),)


class IdempotentAnswer(Base):
    """The answer to a creating POST, returned again for the same Idempotency-Key."""

    __tablename__ = "idempotent_answers"

    api_key_id: Mapped[str] = mapped_column(primary_key=True)
    route: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    body_sha256: Mapped[str]
    status: Mapped[int]
    answer: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
