"""The pages of jobs, and the parts of them that update automatically."""

import json
from typing import Any

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.jobs import RunConfig
from services.api.dependencies import ReadSession, WriteSession
from services.context import InContext
from services.dashboard.frame import render_page, require_scope
from services.dashboard.login import InVisitor, PostingVisitor, Visitor
from services.database.models import Job, now
from services.identifiers import JobId
from services.jobs import repository as job_repository
from services.jobs import service as job_service
from services.jobs.states import JobState
from services.problems import Problem
from services.security.keys import Scope

router = APIRouter(include_in_schema=False)
_JOBS, _EVENTS = 50, 200


@router.get("/")
async def jobs_page(visitor: InVisitor, context: InContext, session: ReadSession) -> Response:
    """Jobs; the active ones update automatically."""
    jobs = await job_repository.list_jobs(session, _JOBS, None, None)
    by_state = await job_repository.count_by_state(session)
    return render_page(context, visitor, "Jobs", "jobs.html", jobs=jobs, by_state=by_state)


@router.get("/parts/jobs")
async def jobs_part(visitor: InVisitor, context: InContext, session: ReadSession) -> Response:
    """The rows of the jobs' page."""
    jobs = await job_repository.list_jobs(session, _JOBS, None, None)
    return context.pages.render("job_rows.html", jobs=jobs, base=context.settings.base_url)


@router.get("/jobs/{job_id}")
async def job_page(visitor: InVisitor, context: InContext, session: ReadSession, job_id: JobId) -> Response:
    """A job."""
    job = await _job(session, job_id)
    events = await job_repository.last_events(session, job_id, _EVENTS)
    settings = RunConfig.model_validate(job.config).model_dump(mode="json", exclude_defaults=True)
    settings_text = json.dumps(settings, indent=2, ensure_ascii=False)
    values = _job_values(job, visitor)
    return render_page(context, visitor, "Jobs", "job.html", events=events, settings=settings_text, **values)


@router.get("/parts/jobs/{job_id}")
async def job_part(visitor: InVisitor, context: InContext, session: ReadSession, job_id: JobId) -> Response:
    """The part of a job's page that updates."""
    job = await _job(session, job_id)
    answer = context.pages.render("job_state.html", token=visitor.token, **_job_values(job, visitor))
    if JobState(job.state).is_end:
        answer.headers["HX-Refresh"] = "true"  # load the final events too
    return answer


@router.post("/jobs/{job_id}/cancel")
async def cancel_job(
    visitor: PostingVisitor, context: InContext, session: WriteSession, job_id: JobId
) -> Response:
    """Cancel the job (the button Cancel)."""
    require_scope(visitor, Scope.LABEL)
    await job_service.cancel(session, job_id)
    context.reconciler.wake()
    return RedirectResponse(f"/jobs/{job_id}", 303)


@router.post("/jobs/{job_id}/resume")
async def resume_job(
    visitor: PostingVisitor, context: InContext, session: WriteSession, job_id: JobId
) -> Response:
    """Resume the job (the button Resume)."""
    require_scope(visitor, Scope.LABEL)
    await job_service.resume(session, job_id)
    context.reconciler.wake()
    return RedirectResponse(f"/jobs/{job_id}", 303)


async def _job(session: AsyncSession, job_id: str) -> Job:
    job = await job_repository.get_job(session, job_id)
    if job is None:
        raise Problem(404, f"no job has the id {job_id}")
    return job


def _job_values(job: Job, visitor: Visitor) -> dict[str, Any]:
    return {"job": job, "may_label": visitor.caller.may(Scope.LABEL), "moment": now()}
