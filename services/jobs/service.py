"""Creates, cancels and resumes jobs, and changes their state: no other module does."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.corpus import NOT_KEPT
from schemas.jobs import RunConfig
from services.database.models import DEFAULT_PROJECT, Job, utc_now
from services.datasets.writers import find_writer
from services.identifiers import new_id
from services.jobs import repository
from services.jobs.states import JobState, may_become
from services.problems import Problem


@dataclass(frozen=True)
class JobNews:
    """News of a job: its state, why it waits (None: it does not), and which other fields are known.

    hides_corpus: the finished dataset keeps no address of its corpus, so the job keeps none either.
    """

    state: JobState
    error: str | None = None
    progress: dict[str, Any] | None = None
    counts: dict[str, Any] | None = None
    dataset_id: str | None = None
    waits_for: str | None = None
    hides_corpus: bool = False


async def create(
    session: AsyncSession, config: RunConfig, created_by: str, project_id: str = DEFAULT_PROJECT
) -> Job:
    """Queue a run with checked settings. Raises a Problem of 409 if anything else writes to its folder."""
    await _refuse_busy(session, config.out, project_id)
    job_id = new_id("job")
    job = Job(
        id=job_id,
        project_id=project_id,
        state=JobState.QUEUED,
        config=config.model_dump(mode="json"),
        out=config.out,
        attempt=1,
        submission_id=f"{job_id}-1",
        created_by=created_by,
        created_at=utc_now(),
        cancel_requested=False,
    )
    session.add(job)
    await session.flush()
    repository.add_event(session, job, "state", {"state": job.state})
    await session.flush()
    return job


async def refuse_full(session: AsyncSession, max_jobs: int) -> None:
    """Raise a Problem of 429 if as many jobs as there may be are queued and running."""
    if await repository.count_active(session) >= max_jobs:
        detail = f"{max_jobs} jobs are queued and running, the most there may be: wait for one or cancel it"
        raise Problem(429, detail, {"Retry-After": "60"})


async def cancel(session: AsyncSession, project_id: str, job_id: str) -> Job:
    """Ask a job to end; it is `cancelled` once its driver has ended. Raises a Problem of 404 or 409."""
    job = await _locked(session, project_id, job_id)
    state = JobState(job.state)
    if state is JobState.CANCELLED:
        return job
    if state.is_end:
        raise Problem(409, f"the job has already {state}")
    if not job.cancel_requested:
        job.cancel_requested = True
        job.checked_at = None  # due at once
        repository.add_event(session, job, "cancel", {"state": job.state})
    await session.flush()
    return job


async def resume(session: AsyncSession, project_id: str, job_id: str, max_jobs: int) -> Job:
    """Queue a failed or cancelled job again; done shards are skipped.

    Raises a Problem: 404, 409, or 429 if `max_jobs` jobs of the service are queued and running.
    """
    await refuse_full(session, max_jobs)
    job = await _locked(session, project_id, job_id)
    state = JobState(job.state)
    if not may_become(state, JobState.QUEUED):
        raise Problem(409, f"the job is {state}: only a failed or cancelled job can be resumed")
    await _refuse_busy(session, job.out, project_id)
    job.attempt += 1
    job.submission_id = f"{job.id}-{job.attempt}"
    job.cancel_requested = False
    job.error = job.started_at = job.finished_at = job.checked_at = job.seen_at = job.waits_for = None
    _become(session, job, JobState.QUEUED, None)
    await session.flush()
    return job


async def forget(session: AsyncSession, project_id: str, job_id: str) -> None:
    """Delete a job that has ended, and its events; its folder stays. Raises a Problem of 404 or 409."""
    job = await _locked(session, project_id, job_id)
    if not JobState(job.state).is_end:
        raise Problem(409, f"the job is {job.state}: cancel it first")
    await session.delete(job)
    await session.flush()


async def apply_news(session: AsyncSession, job: Job, news: JobNews) -> None:
    """Store news of a job (locked by the caller), with an event for each change."""
    if news.dataset_id is not None:
        job.dataset_id = news.dataset_id
    if news.counts is not None:
        job.counts = news.counts
    if news.hides_corpus:
        job.config = {**job.config, "corpus": NOT_KEPT}
    if news.progress is not None and _has_advanced(job.progress, news.progress):
        job.progress = news.progress
        repository.add_event(session, job, "progress", news.progress)
    if news.waits_for != job.waits_for:
        job.waits_for = news.waits_for
        if news.waits_for is not None:
            repository.add_event(session, job, "waiting", {"state": job.state, "reason": news.waits_for})
    state = JobState(job.state)
    if news.state is not state and may_become(state, news.state):
        _become(session, job, news.state, news.error)
    await session.flush()


def _become(session: AsyncSession, job: Job, state: JobState, error: str | None) -> None:
    job.state = state
    if state is JobState.RUNNING:
        job.started_at = job.started_at or utc_now()
    if state.is_end:
        job.finished_at = utc_now()
        job.error = error
    repository.add_event(session, job, "state", {"state": state, "error": error, "dataset": job.dataset_id})


def _has_advanced(old: dict[str, Any] | None, new: dict[str, Any]) -> bool:
    def without_times(progress: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in progress.items() if key not in ("updated_at", "seconds_left")}

    return old is None or without_times(old) != without_times(new)


async def _locked(session: AsyncSession, project_id: str, job_id: str) -> Job:
    job = await repository.lock_job(session, job_id, project_id)
    if job is None:
        raise Problem(404, f"no job has the id {job_id}")
    return job


async def _refuse_busy(session: AsyncSession, out: str, project_id: str) -> None:
    writer = await find_writer(session, out)
    if writer is not None:
        instead = "wait for it, cancel it, or" if writer.kind == "job" else "wait for it, or"
        raise Problem(
            409, f"{writer.named(project_id)} is at work on {writer.out}: {instead} take another out"
        )
