"""`/v1/jobs`: start, watch, cancel and resume labelling runs."""

import asyncio
import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, model_validator
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.types import Receive, Scope, Send

from schemas.jobs import RunConfig
from schemas.progress import RunProgress
from services.api.dataset_views import DatasetCounts
from services.api.dependencies import Labeller, Reader, ReadSession, WriteSession
from services.api.documented import CONFLICT, NOT_FOUND
from services.context import Context, InContext
from services.database.models import Job
from services.idempotency import IdempotencyKey, answer_once, earlier_answer
from services.identifiers import JobId
from services.jobs import repository, service
from services.jobs.check import check_config, local_ray_resources, refuse_excess, refuse_unplaceable
from services.jobs.event_streams import EventStream
from services.jobs.out_folder import conflict_in
from services.jobs.ray_jobs import RayUnreachable
from services.jobs.states import JobState
from services.paging import Cursor, Limit, Page, cursor_of, cut, values_of
from services.problems import Problem, is_whole_text
from services.security.keys import Caller

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
_EVENT_ID = re.compile(r"[0-9]{1,18}")


class JobSettings(RunConfig):
    """The settings of a run, which were found to fit together when it was started."""

    @model_validator(mode="after")
    def _needs(self) -> "JobSettings":
        return self


class JobView(BaseModel):
    """A job. `dataset`: id of the finished dataset under `/v1/datasets`. `out`: its folder.

    `progress` and `counts`: the latest values in the run's folder. `config`: all its settings.
    `error`: why it failed, in one line. `created_by`: the id of a key.
    `waits_for`: why an active job does not label yet; null: it labels, or has ended.
    """

    id: str
    state: JobState
    progress: RunProgress | None
    counts: DatasetCounts | None
    dataset: str | None
    error: str | None
    waits_for: str | None
    out: str
    attempt: int
    cancel_requested: bool
    created_by: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    config: JobSettings

    @classmethod
    def of(cls, job: Job) -> "JobView":
        """Return the view of a row."""
        names = [name for name in cls.model_fields if name != "dataset"]
        return cls.model_validate({"dataset": job.dataset_id, **{name: getattr(job, name) for name in names}})


class JobRequest(JobSettings):
    """The settings of a run. Whether they fit together is checked later, after the places."""

    @model_validator(mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        for field, part in value.items() if isinstance(value, dict) else ():
            for text in part if isinstance(part, list) else [part]:
                if isinstance(text, str) and not is_whole_text(text):
                    raise ValueError(f"{field}: half of a surrogate pair is no character")
        return value


@router.post("", status_code=201, response_model=JobView, responses={**CONFLICT, **NOT_FOUND})
async def create_job(
    caller: Labeller,
    body: JobRequest,
    context: InContext,
    request: Request,
    key: IdempotencyKey = None,
) -> Response:
    """Label a corpus into a dataset. The body holds the settings of the run."""
    earlier = await earlier_answer(context.database, caller, request, key, body)
    if earlier is not None:
        return earlier
    config = await checked_run(body, context, caller.project_id)
    conflict = await asyncio.to_thread(conflict_in, config)

    async def create() -> JobView:
        return JobView.of(await _start(session, context, caller, config, conflict))

    async with context.database.writing() as session:
        answer = await answer_once(session, caller, request, key, body, create)
    context.reconciler.wake()
    return answer


@router.get("")
async def list_jobs(
    caller: Reader,
    session: ReadSession,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
) -> Page[JobView]:
    """All jobs, newest first."""
    after = values_of(cursor, str)
    last = after[0] if after else None
    rows = await repository.list_jobs(session, caller.project_id, limit + 1, last, state)
    page, more = cut(list(rows), limit)
    return Page(items=[JobView.of(job) for job in page], next_cursor=cursor_of(page[-1].id) if more else None)


@router.get("/{job_id}", responses=NOT_FOUND)
async def get_job(caller: Reader, session: ReadSession, job_id: JobId) -> JobView:
    """A job."""
    return JobView.of(await _get_job(session, caller.project_id, job_id))


@router.delete("/{job_id}", status_code=204, responses={**NOT_FOUND, **CONFLICT})
async def delete_job(caller: Labeller, session: WriteSession, job_id: JobId) -> None:
    """Delete a job that has ended, and its events. Its folder and its dataset stay."""
    await service.forget(session, caller.project_id, job_id)


@router.post("/{job_id}/cancel", status_code=202, responses={**NOT_FOUND, **CONFLICT})
async def cancel_job(caller: Labeller, context: InContext, session: WriteSession, job_id: JobId) -> JobView:
    """Cancel a job. It is `cancelled` once its driver and labellers have ended. It can be resumed."""
    view = JobView.of(await service.cancel(session, caller.project_id, job_id))
    context.reconciler.wake()
    return view


@router.post("/{job_id}/resume", status_code=202, responses={**NOT_FOUND, **CONFLICT})
async def resume_job(caller: Labeller, context: InContext, session: WriteSession, job_id: JobId) -> JobView:
    """Continue a failed or cancelled job. Shards that are done are skipped."""
    job = await service.resume(session, caller.project_id, job_id, context.settings.max_jobs)
    view = JobView.of(job)
    context.reconciler.wake()
    return view


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events `state`, `waiting`, `progress`, `cancel`.",
            "content": {"text/event-stream": {}},
        },
        204: {"description": "The job has ended and there are no further events."},
        **NOT_FOUND,
    },
)
async def job_events(
    caller: Reader,
    context: InContext,
    job_id: JobId,
    last_event_id: Annotated[
        str | None,
        Header(max_length=200, description="Id of the last event received. Any other text: none."),
    ] = None,
) -> Response:
    """The events of a job as server-sent events, from the start or after `Last-Event-ID`."""
    event_id = last_event_id or ""
    after = int(event_id) if _EVENT_ID.fullmatch(event_id) else 0
    async with context.database.reading() as session:
        await _get_job(session, caller.project_id, job_id)
    stream = await context.events.open(job_id, caller.key_id, after)
    return Response(status_code=204) if stream is None else _EventResponse(stream)


class _EventResponse(StreamingResponse):
    """Sends a stream, and closes it however that ends."""

    def __init__(self, stream: EventStream) -> None:
        super().__init__(stream.lines(), media_type="text/event-stream")
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.close()


async def _get_job(session: ReadSession, project_id: str, job_id: str) -> Job:
    job = await repository.job_of_project(session, project_id, job_id)
    if job is None:
        raise Problem(404, f"no job has the id {job_id}")
    return job


async def start_job(context: Context, caller: Caller, body: JobRequest) -> Job:
    """Check and queue a run, without an Idempotency-Key. Raises the Problems of `POST /v1/jobs`."""
    config = await checked_run(body, context, caller.project_id)
    conflict = await asyncio.to_thread(conflict_in, config)
    async with context.database.writing() as session:
        job = await _start(session, context, caller, config, conflict)
    context.reconciler.wake()
    return job


async def _start(
    session: AsyncSession, context: Context, caller: Caller, config: RunConfig, conflict: Problem | None
) -> Job:
    """Queue a checked run. `conflict`: what `conflict_in` found in its folder.

    Raises a Problem: 409 if the folder is taken, 429 if the service has as many jobs as it may have.
    """
    await service.refuse_full(session, context.settings.max_jobs)
    job = await service.create(session, config, caller.key_id, caller.project_id)
    if conflict is not None:
        raise conflict
    return job


async def checked_run(body: JobRequest, context: Context, project_id: str) -> RunConfig:
    """Return the completely checked settings. Holds no database session meanwhile."""
    roots = await context.project_roots.for_requests(project_id)
    settings = context.settings
    checked = await asyncio.to_thread(check_config, body, roots, settings.second_opinion_servers)
    refuse_excess(checked, settings.max_actors_per_job, settings.min_cpus_per_actor)
    await _refuse_unplaceable(checked, context)
    return checked


async def _refuse_unplaceable(config: RunConfig, context: Context) -> None:
    if context.cluster.is_local:
        refuse_unplaceable(config, local_ray_resources())
        return
    if context.settings.ray_may_grow:
        return
    try:
        nodes = await (await context.cluster.jobs(start=False)).node_resources()
    except RayUnreachable:
        return  # the job waits until Ray answers again
    if nodes:
        refuse_unplaceable(config, nodes)
