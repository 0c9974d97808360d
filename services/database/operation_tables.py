"""The table of operations: work in the background of the service that is neither a job nor a review."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.database.models import Base, utc_now


class OperationKind(StrEnum):
    """`PLAN`: a preflight of a run. `MERGE`: corrections into a next version. `COMPARE`: two datasets.

    `ROUTE`: the labels of a dataset decided again, into a next version.
    """

    PLAN = "plan"
    MERGE = "merge"
    COMPARE = "compare"
    ROUTE = "route"


class OperationState(StrEnum):
    """State of an operation; the last two are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Operation(Base):
    """An operation. `request`: what to do, checked. `progress`: the last line it wrote.

    `result`: the JSON document of the command. `worker`: the process that works on it. `created_by`: the id
    of a key.
    """

    __tablename__ = "operations"
    __table_args__ = (
        Index("operations_by_project", "project_id", "id"),
        Index("operations_by_state", "state", "kind", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str]
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(default=OperationState.QUEUED)
    request: Mapped[dict[str, Any]]
    progress: Mapped[str | None] = mapped_column(Text)
    result: Mapped[dict[str, Any] | None]
    error: Mapped[str | None] = mapped_column(Text)
    created_by: Mapped[str | None]
    worker: Mapped[str | None]
    worker_seen_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
