"""The queues of the service in figures: how many wait in each, and how long the oldest has."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from schemas.reviews import ItemState
from services.database.models import DatasetRecord, DatasetState, Job, JobEvent, UtcTime, utc_now
from services.database.review_tables import ReviewDelivery, ReviewItem

# Which of the jobs' states means that a job waits (`services.jobs.states`).
_QUEUED = "queued"
# When a job was queued last: its last change of state, as it may have been resumed.
_QUEUED_AT = (
    select(func.max(JobEvent.at))
    .where(JobEvent.job_id == Job.id, JobEvent.kind == "state")
    .correlate(Job)
    .scalar_subquery()
)
_QUEUES = {
    "jobs": select(func.count(), func.min(func.coalesce(_QUEUED_AT, Job.created_at, type_=UtcTime))).where(
        Job.state == _QUEUED
    ),
    "datasets": select(func.count(), func.min(DatasetRecord.created_at)).where(
        DatasetRecord.state == DatasetState.INDEXING
    ),
    "webhooks": select(func.count(), func.min(ReviewDelivery.at)),
}
_ITEMS = select(ReviewItem.state, func.count()).group_by(ReviewItem.state)


@dataclass(frozen=True)
class QueueFigures:
    """`sizes`, `ages_s`: by queue (`jobs`, `datasets`, `webhooks`). `items`: of reviews, by state."""

    sizes: dict[str, int]
    ages_s: dict[str, float]
    items: dict[str, int]


def read_queues(connection: Connection) -> QueueFigures:
    """Return the present figures."""
    sizes, ages_s = {}, {}
    for queue, query in _QUEUES.items():
        count, oldest = connection.execute(query).one()
        sizes[queue], ages_s[queue] = int(count), _age_s(oldest)
    counts = {state: int(count) for state, count in connection.execute(_ITEMS)}
    return QueueFigures(sizes, ages_s, {state.value: counts.get(state, 0) for state in ItemState})


def _age_s(oldest: datetime | None) -> float:
    return 0.0 if oldest is None else max(0.0, (utc_now() - oldest).total_seconds())
