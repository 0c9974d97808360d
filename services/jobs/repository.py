"""The SQL of jobs and their events."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.database.models import Job, JobEvent, now
from services.jobs.states import IN_WORK, JobState


async def get_job(session: AsyncSession, job_id: str) -> Job | None:
    """A job; None where there is none."""
    return await session.get(Job, job_id)


async def lock_job(session: AsyncSession, job_id: str) -> Job | None:
    """A job that nobody else changes until the session ends."""
    query = select(Job).where(Job.id == job_id).with_for_update()
    return (await session.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()


async def list_jobs(
    session: AsyncSession, limit: int, before: str | None, state: JobState | None
) -> Sequence[Job]:
    """Newest first, those older than the job `before`."""
    query = select(Job).order_by(Job.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Job.id < before)
    if state is not None:
        query = query.where(Job.state == state)
    return (await session.scalars(query)).all()


async def job_in_work_on(session: AsyncSession, out: str) -> str | None:
    """The id of the job that is at work on the folder `out`."""
    query = select(Job.id).where(Job.out == out, Job.state.in_(IN_WORK)).limit(1)
    return await session.scalar(query)


async def claim_due(session: AsyncSession, before: datetime) -> Sequence[str]:
    """Ids of the jobs in work that nobody has looked after since `before`; they are ours for a while.

    Several service processes may ask: each job is given to one of them.
    """
    due = select(Job.id).where(Job.state.in_(IN_WORK), or_(Job.checked_at.is_(None), Job.checked_at < before))
    taken = await session.scalars(
        update(Job)
        .where(Job.id.in_(due), or_(Job.checked_at.is_(None), Job.checked_at < before))
        .values(checked_at=now())
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    )
    return taken.all()


async def count_by_state(session: AsyncSession) -> dict[str, int]:
    """How many jobs each state has."""
    rows = await session.execute(select(Job.state, func.count()).group_by(Job.state))
    found = {str(state): int(count) for state, count in rows}
    return {state.value: found.get(state, 0) for state in JobState}


def add_event(session: AsyncSession, job: Job, kind: str, data: dict[str, Any]) -> None:
    """Note that something happened to a job."""
    session.add(JobEvent(job_id=job.id, kind=kind, data=data))


async def last_events(session: AsyncSession, job_id: str, limit: int) -> Sequence[JobEvent]:
    """The last events of a job but those of progress, in order."""
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.kind != "progress")
    found = (await session.scalars(query.order_by(JobEvent.id.desc()).limit(limit))).all()
    return found[::-1]


async def events_after(
    session: AsyncSession, job_id: str, after: int, limit: int = 200
) -> Sequence[JobEvent]:
    """The events of a job with a higher id than `after`, in order."""
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.id > after)
    return (await session.scalars(query.order_by(JobEvent.id).limit(limit))).all()
