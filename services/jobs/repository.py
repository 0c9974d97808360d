"""The SQL of jobs and their events."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.database.models import Job, JobEvent, utc_now
from services.jobs.states import ACTIVE, JobState


async def get_job(session: AsyncSession, job_id: str) -> Job | None:
    """Return a job of any project, or None. For work in the background."""
    return await session.get(Job, job_id)


async def job_of_project(session: AsyncSession, project_id: str, job_id: str) -> Job | None:
    """Return a job of a project, or None."""
    query = select(Job).where(Job.id == job_id, Job.project_id == project_id)
    return (await session.scalars(query)).first()


async def lock_job(session: AsyncSession, job_id: str, project_id: str | None = None) -> Job | None:
    """Return a job, of this project if one is given, locked until the transaction ends."""
    query = select(Job).where(Job.id == job_id).with_for_update()
    if project_id is not None:
        query = query.where(Job.project_id == project_id)
    return (await session.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()


async def list_jobs(
    session: AsyncSession, project_id: str, limit: int, before: str | None, state: JobState | None
) -> Sequence[Job]:
    """Return jobs of a project older than the job `before`, newest first."""
    query = select(Job).where(Job.project_id == project_id).order_by(Job.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Job.id < before)
    if state is not None:
        query = query.where(Job.state == state)
    return (await session.scalars(query)).all()


async def count_active(session: AsyncSession) -> int:
    """Return the number of queued and running jobs."""
    query = select(func.count()).select_from(Job).where(Job.state.in_(ACTIVE))
    return int(await session.scalar(query) or 0)


async def first_active(session: AsyncSession, limit: int) -> set[str]:
    """Return the ids of the active jobs whose turn it is to work: running ones, then the oldest."""
    waits = case((Job.state == JobState.RUNNING, 0), else_=1)
    query = select(Job.id).where(Job.state.in_(ACTIVE)).order_by(waits, Job.id).limit(limit)
    return set(await session.scalars(query))


async def claim_due(session: AsyncSession, before: datetime) -> Sequence[str]:
    """Mark the active jobs that no process has checked since `before` as checked now, and return their ids.

    If several service processes call this at once, each job is given to one of them.
    """
    due = select(Job.id).where(Job.state.in_(ACTIVE), or_(Job.checked_at.is_(None), Job.checked_at < before))
    claimed = await session.scalars(
        update(Job)
        .where(Job.id.in_(due), or_(Job.checked_at.is_(None), Job.checked_at < before))
        .values(checked_at=utc_now())
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    )
    return claimed.all()


async def count_by_state(session: AsyncSession, project_id: str | None = None) -> dict[str, int]:
    """Return the number of jobs in each state, in a project or in all."""
    query = select(Job.state, func.count()).group_by(Job.state)
    if project_id is not None:
        query = query.where(Job.project_id == project_id)
    rows = await session.execute(query)
    counts = {str(state): int(count) for state, count in rows}
    return {state.value: counts.get(state, 0) for state in JobState}


def add_event(session: AsyncSession, job: Job, kind: str, data: dict[str, Any]) -> None:
    """Record that something happened to a job."""
    session.add(JobEvent(job_id=job.id, kind=kind, data=data))


async def last_events(session: AsyncSession, job_id: str, limit: int) -> Sequence[JobEvent]:
    """Return the last events of a job except progress, oldest first."""
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.kind != "progress")
    newest_first = (await session.scalars(query.order_by(JobEvent.id.desc()).limit(limit))).all()
    return newest_first[::-1]


async def progress_over_time(session: AsyncSession, job_id: str, limit: int) -> list[tuple[datetime, int]]:
    """Return (time, images so far) of about `limit` progress events of a job, spread evenly, in order."""
    of_job = (JobEvent.job_id == job_id, JobEvent.kind == "progress")
    count = await session.scalar(select(func.count()).select_from(JobEvent).where(*of_job)) or 0
    step = max(1, -(-count // limit))
    # Not by their ids: jobs at work at the same time take them in turn.
    place = func.row_number().over(order_by=JobEvent.id)
    events = select(JobEvent.id, JobEvent.at, JobEvent.data, place.label("place")).where(*of_job).subquery()
    query = select(events.c.at, events.c.data).where((events.c.place - 1) % step == 0)
    rows = await session.execute(query.order_by(events.c.id))
    return [(at, int(data.get("images") or 0)) for at, data in rows]
