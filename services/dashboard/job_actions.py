"""Forms that start, plan and delete jobs."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError

from schemas.jobs import RunConfig
from services.api.dependencies import ReadSession, WriteSession
from services.api.jobs import JobRequest, start_job
from services.api.operation_requests import queue_operation
from services.context import Context, InContext
from services.dashboard.frame import render_page, require_scope
from services.dashboard.login import InVisitor, PostingVisitor, Visitor
from services.dashboard.operation_pages import find_operation
from services.dashboard.run_form import run_fields, settings_of_form, values_of_run
from services.identifiers import JobId
from services.jobs import repository, service
from services.problems import KeptText, Problem, field_errors
from services.security.keys import Scope

router = APIRouter(include_in_schema=False)


@router.get("/jobs/new")
async def new_job_page(
    visitor: InVisitor, context: InContext, session: ReadSession, like: KeptText = "", plan: KeptText = ""
) -> Response:
    """The form of a job; filled in like the job `like` or the plan `plan`."""
    require_scope(visitor, Scope.LABEL)
    settings: dict[str, Any] = {}
    if like:
        job = await repository.job_of_project(session, visitor.project_id, like)
        settings = _shown(job.config) if job is not None else {}
        settings.pop("out", None)
    elif plan:
        settings = _shown((await find_operation(session, visitor, plan)).request)
    return _form(context, visitor, values_of_run(settings))


@router.post("/jobs/new")
async def new_job(visitor: PostingVisitor, context: InContext, request: Request) -> Response:
    """Plan the run of a form, or start it."""
    require_scope(visitor, Scope.LABEL)
    form = await request.form()
    values = {name: [text for text in form.getlist(name) if isinstance(text, str)] for name in form}
    try:
        body = JobRequest.model_validate(settings_of_form(values))
        if form.get("action") == "plan":
            operation = await queue_operation(context, visitor.caller, body)
            return RedirectResponse(f"/operations/{operation.id}", 303)
        job = await start_job(context, visitor.caller, body)
        return RedirectResponse(f"/jobs/{job.id}", 303)
    except ValidationError as error:
        return _form(context, visitor, values, 422, field_errors(error.errors()))
    except Problem as problem:
        errors = problem.more.get("errors") or [{"field": "", "message": problem.detail}]
        return _form(context, visitor, values, problem.status, errors)


@router.get("/jobs/{job_id}/delete")
async def delete_job_page(
    visitor: InVisitor, context: InContext, session: ReadSession, job_id: JobId
) -> Response:
    """What deleting a job does, and the button."""
    job = await repository.job_of_project(session, visitor.project_id, job_id)
    if job is None:
        raise Problem(404, f"no job has the id {job_id}")
    require_scope(visitor, Scope.LABEL)
    return render_page(
        context,
        visitor,
        "Jobs",
        "confirm.html",
        title="Delete this job?",
        subject=job.out,
        effects=[
            "The job and its events disappear from this service.",
            "Its folder stays as it is, and so does its dataset.",
            "A failed or cancelled job can no longer be resumed here; the same run into the same folder is.",
        ],
        action=f"/jobs/{job_id}/delete",
        button="Delete the job",
        back=f"/jobs/{job_id}",
    )


@router.post("/jobs/{job_id}/delete")
async def delete_job(visitor: PostingVisitor, session: WriteSession, job_id: JobId) -> Response:
    """Delete a job that has ended."""
    require_scope(visitor, Scope.LABEL)
    await service.forget(session, visitor.project_id, job_id)
    return RedirectResponse("/", 303)


def _shown(config: dict[str, Any]) -> dict[str, Any]:
    return RunConfig.model_validate(config).model_dump(mode="json", exclude_defaults=True)


def _form(
    context: Context,
    visitor: Visitor,
    values: dict[str, list[str]],
    status: int = 200,
    errors: list[dict[str, Any]] | None = None,
) -> Response:
    messages = {str(error["field"]).partition(".")[0]: error["message"] for error in errors or []}
    groups = run_fields()
    names = {field.name for fields in groups.values() for field in fields}
    general = [message for name, message in messages.items() if name not in names]
    return render_page(
        context,
        visitor,
        "Jobs",
        "job_form.html",
        status,
        groups=groups,
        values=values,
        messages=messages,
        general=general,
        roots=context.settings.roots,
    )
