"""The pages of jobs, and the parts of them that update automatically."""

import json
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.jobs import RunConfig
from services.api.dependencies import ReadSession, WriteSession
from services.context import InContext
from services.dashboard.frame import render_page, require_scope
from services.dashboard.job_words import job_words
from services.dashboard.login import InVisitor, PostingVisitor, Visitor
from services.database.models import Job, utc_now
from services.identifiers import JobId
from services.jobs import repository as job_repository
from services.jobs import service as job_service
from services.jobs.states import JobState
from services.paging import Cursor, cursor_of, cut, values_of
from services.problems import Problem
from services.security.keys import Scope, key_names

router = APIRouter(include_in_schema=False)
_JOBS, _EVENTS = 50, 200
StateFilter = Annotated[str, Query(max_length=20)]


@router.get("/")
async def jobs_page(
    visitor: InVisitor,
    context: InContext,
    session: ReadSession,
    state: StateFilter = "",
    cursor: Cursor = None,
) -> Response:
    """Jobs, page by page; the active ones update automatically."""
    by_state = await job_repository.count_by_state(session, visitor.project_id)
    rows = await _rows(session, visitor, state, cursor)
    return render_page(context, visitor, "Jobs", "jobs.html", by_state=by_state, **rows)


@router.get("/parts/jobs")
async def jobs_part(
    visitor: InVisitor,
    context: InContext,
    session: ReadSession,
    state: StateFilter = "",
    cursor: Cursor = None,
) -> Response:
    """The rows of the jobs' page."""
    rows = await _rows(session, visitor, state, cursor)
    return context.pages.render("job_rows.html", base=context.settings.base_url, **rows)


async def _rows(session: AsyncSession, visitor: Visitor, state: str, cursor: str | None) -> dict[str, Any]:
    state_filter = JobState(state) if state in list(JobState) else None
    after = values_of(cursor, str)
    last = after[0] if after else None
    listed = await job_repository.list_jobs(session, visitor.project_id, _JOBS + 1, last, state_filter)
    jobs, more = cut(list(listed), _JOBS)
    query = {"state": state_filter} if state_filter else {}
    older = {**query, "cursor": cursor_of(jobs[-1].id)} if more else None
    shown = {**query, **({"cursor": cursor} if cursor else {})}
    return {
        "jobs": [(job, job_words(job)) for job in jobs],
        "names": await key_names(session, {job.created_by for job in jobs if job.created_by}),
        "state": query.get("state", ""),
        "cursor": cursor,
        "part": f"/parts/jobs?{urlencode(shown)}",
        "newest": f"/?{urlencode(query)}",
        "older": f"/?{urlencode(older)}" if older else None,
    }


@router.get("/jobs/{job_id}")
async def job_page(visitor: InVisitor, context: InContext, session: ReadSession, job_id: JobId) -> Response:
    """A job."""
    job = await _job(session, visitor, job_id)
    events = await job_repository.last_events(session, job_id, _EVENTS)
    settings = RunConfig.model_validate(job.config).model_dump(mode="json", exclude_defaults=True)
    settings_text = json.dumps(settings, indent=2, ensure_ascii=False)
    values = await _job_values(session, job, visitor)
    return render_page(context, visitor, "Jobs", "job.html", events=events, settings=settings_text, **values)


@router.get("/parts/jobs/{job_id}")
async def job_part(visitor: InVisitor, context: InContext, session: ReadSession, job_id: JobId) -> Response:
    """The part of a job's page that updates."""
    job = await _job(session, visitor, job_id)
    answer = context.pages.render(
        "job_state.html", token=visitor.token, **await _job_values(session, job, visitor)
    )
    if JobState(job.state).is_end:
        answer.headers["HX-Refresh"] = "true"  # load the final events too
    return answer


@router.post("/jobs/{job_id}/cancel")
async def cancel_job(
    visitor: PostingVisitor, context: InContext, session: WriteSession, job_id: JobId
) -> Response:
    """Cancel the job (the button Cancel)."""
    require_scope(visitor, Scope.LABEL)
    await job_service.cancel(session, visitor.project_id, job_id)
    context.reconciler.wake()
    return RedirectResponse(f"/jobs/{job_id}", 303)


@router.post("/jobs/{job_id}/resume")
async def resume_job(
    visitor: PostingVisitor, context: InContext, session: WriteSession, job_id: JobId
) -> Response:
    """Resume the job (the button Resume)."""
    require_scope(visitor, Scope.LABEL)
    await job_service.resume(session, visitor.project_id, job_id, context.settings.max_jobs)
    context.reconciler.wake()
    return RedirectResponse(f"/jobs/{job_id}", 303)


async def _job(session: AsyncSession, visitor: Visitor, job_id: str) -> Job:
    job = await job_repository.job_of_project(session, visitor.project_id, job_id)
    if job is None:
        raise Problem(404, f"no job has the id {job_id}")
    return job


async def _job_values(session: AsyncSession, job: Job, visitor: Visitor) -> dict[str, Any]:
    names = await key_names(session, {job.created_by} if job.created_by else set())
    return {
        "job": job,
        "words": job_words(job),
        "started_by": names.get(job.created_by or ""),
        "may_label": visitor.caller.may(Scope.LABEL),
        "moment": utc_now(),
    }
