"""The parts of a job's page that come from its cluster: speed over time, driver's log, workers and nodes."""

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession

from fo1_data.errors import Fo1Error
from services.api.dependencies import ReadSession
from services.context import Context, InContext
from services.dashboard.login import InVisitor, Visitor
from services.database.models import Job
from services.identifiers import JobId
from services.jobs import repository
from services.jobs.ray_jobs import ClusterUse
from services.jobs.speed import speed_over_time
from services.jobs.states import JobState
from services.problems import Problem

router = APIRouter(include_in_schema=False)
_POINTS, _LINES = 600, 300
_WIDTH, _HEIGHT = 600, 120


@router.get("/parts/jobs/{job_id}/speed")
async def speed_part(visitor: InVisitor, context: InContext, session: ReadSession, job_id: JobId) -> Response:
    """A plot of images per second."""
    job = await _job(session, visitor, job_id)
    points = speed_over_time(await repository.progress_over_time(session, job.id, _POINTS))
    highest = max((point.images_per_s for point in points), default=0.0) or 1.0
    lasted = points[-1].seconds if points else 1.0
    line = [
        (_WIDTH * point.seconds / lasted, _HEIGHT * (1 - point.images_per_s / highest)) for point in points
    ]
    return context.pages.render(
        "job_speed.html", line=line, width=_WIDTH, height=_HEIGHT, highest=highest, lasted=lasted
    )


@router.get("/parts/jobs/{job_id}/log")
async def log_part(visitor: InVisitor, context: InContext, session: ReadSession, job_id: JobId) -> Response:
    """The end of the driver's log: Ray's while it has one, else what was stored when the driver ended."""
    job = await _job(session, visitor, job_id)
    lines = (job.log_tail or "").splitlines()
    if not lines:
        try:
            ray = await context.cluster.jobs(start=False)
            lines = await ray.log_tail(job.submission_id or "", _LINES)
        except Fo1Error:
            lines = []
    return context.pages.render("job_log.html", lines=lines, job=job)


@router.get("/parts/jobs/{job_id}/cluster")
async def cluster_part(
    visitor: InVisitor, context: InContext, session: ReadSession, job_id: JobId
) -> Response:
    """The job's workers, and how busy the nodes are."""
    job = await _job(session, visitor, job_id)
    use = None if JobState(job.state).is_end else await _use(context, job)
    return context.pages.render("job_cluster.html", use=use, job=job)


async def _use(context: Context, job: Job) -> ClusterUse | None:
    try:
        ray = await context.cluster.jobs(start=False)
        return await ray.use_by(job.submission_id or "")
    except Fo1Error:
        return None


async def _job(session: AsyncSession, visitor: Visitor, job_id: str) -> Job:
    job = await repository.job_of_project(session, visitor.project_id, job_id)
    if job is None:
        raise Problem(404, f"no job has the id {job_id}")
    return job
