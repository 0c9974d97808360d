"""`create_app`: the service as one ASGI application. Loads neither torch nor transformers nor Ray."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.layout import code_version
from services.api import (
    datasets,
    health,
    images,
    jobs,
    keys,
    ml_backend,
    operations,
    predict,
    reviews,
    samples,
    videos,
    webhooks,
)
from services.api.dependencies import admit
from services.api.documented import complete_openapi
from services.background import Loop, running
from services.cache_leftovers import sweep_cache
from services.context import Context
from services.dashboard import (
    dataset_actions,
    dataset_pages,
    facet_pages,
    frame,
    job_actions,
    job_pages,
    key_actions,
    live_job_pages,
    login,
    open_pages,
    operation_pages,
    review_actions,
    review_pages,
    routing_pages,
)
from services.database.engine import open_database
from services.database.migrate import migrate
from services.database.outages import Outages
from services.datasets.grants import Grants
from services.datasets.images import ImageShelf
from services.datasets.indexer import Indexer
from services.datasets.project_roots import ProjectRoots
from services.datasets.videos import VideoShelf
from services.jobs.cluster import Cluster
from services.jobs.event_streams import JobEvents
from services.jobs.reconciler import Reconciler
from services.jobs.repository import count_by_state
from services.jobs.states import ACTIVE
from services.metrics import Metrics, RequestMetrics
from services.operations.routing_curves import RoutingCurves
from services.operations.runner import OperationRunner
from services.predictions.deployment import PredictorDeployment
from services.predictions.service import Predictions
from services.problems import install_problems
from services.rendering import Pages
from services.request_log import RequestLog
from services.review.service import make_worker
from services.review.video_copies import VideoCopies
from services.security.failure_limit import FailureLimit
from services.security.request_limits import BodyLimit, SecurityHeaders
from services.security.sessions import Sessions
from services.security.signing import UrlSigner
from services.settings import Settings

# Before the pages: /jobs/new is not the page of a job.
_ACTIONS = (job_actions, dataset_actions, review_actions, key_actions, operation_pages)
# First what is asked for most: routes are tried one after the other.
_API = (
    samples,
    health,
    jobs,
    datasets,
    images,
    videos,
    reviews,
    webhooks,
    predict,
    operations,
    keys,
    ml_backend,
)
_PAGES = (
    login,
    *_ACTIONS,
    job_pages,
    live_job_pages,
    dataset_pages,
    facet_pages,
    routing_pages,
    review_pages,
    open_pages,
)
UPLOAD_PATHS = ("/v1/predict", "/ml/", "/v1/webhooks/")


def create_app(settings: Settings) -> FastAPI:
    """Return the application. While it runs, it manages jobs, indexes datasets and works on reviews."""
    context = make_context(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await migrate(context.database)
        await asyncio.to_thread(sweep_cache, settings.home / "cache")
        if settings.predict_at_start:
            context.predictions.prepare()
        try:
            async with running(*_background(context)):
                yield
                context.operations.stop()
            await _end_idle_ray(context)
        finally:
            await context.curves.close()
            await context.cluster.close()
            await context.predictions.close()
            await context.video_copies.close()
            if context.reviews is not None:
                await context.reviews.close()
            await context.database.dispose()

    app = FastAPI(
        title="fo1-data",
        version=code_version(),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.context = context
    install_problems(app, frame.problem_page, admit, context.outages.notice)
    app.add_exception_handler(login.LoggedOut, login.logged_out)
    _install_middleware(app, context)
    for module in (*_API, *_PAGES):
        app.include_router(module.router)
    _complete_documentation(app)
    return app


def _background(context: Context) -> list[Loop]:
    loops = [context.reconciler.loop, context.indexer.loop, context.events.loop, context.outages.loop]
    loops += context.operations.loops
    if context.reviews is not None:
        loops.append(context.reviews.loop)
    for loop in loops:
        loop.notice = context.outages.notice
        context.metrics.watch_loop(loop.name, loop.age_s)
    return loops


def make_context(settings: Settings) -> Context:
    """Return the shared objects of one process, connected; nothing runs yet."""
    database, metrics = open_database(settings), Metrics()
    events = JobEvents(database, settings.max_streams_per_key)
    metrics.streams.set_function(lambda: events.num_streams)
    roots, cluster = ProjectRoots(database, settings.roots), Cluster(settings)
    indexer = Indexer(database, metrics)
    limits = InputLimits(max_pixels=settings.max_image_pixels)
    signer = UrlSigner(settings.secret, settings.base_url, settings.image_url_days)
    videos = VideoShelf(settings.home / "cache" / "videos", settings.allow_private_addresses)
    copies = VideoCopies(database, roots, videos)
    return Context(
        settings=settings,
        database=database,
        outages=Outages(database, settings.home),
        metrics=metrics,
        key_failures=FailureLimit(settings.key_failures_per_minute),
        project_roots=roots,
        curves=RoutingCurves(settings, roots),
        cluster=cluster,
        reconciler=Reconciler(settings, database, cluster, metrics, roots),
        indexer=indexer,
        operations=OperationRunner(settings, database, roots, indexer),
        events=events,
        signer=signer,
        reviews=make_worker(settings, database, signer, copies),
        grants=Grants(database),
        predictions=Predictions(PredictorDeployment(settings, cluster)),
        sessions=Sessions(settings.secret, settings.session_hours),
        pages=Pages(),
        images=ImageShelf(settings.home / "cache" / "images", limits, settings.allow_private_addresses),
        videos=videos,
        video_copies=copies,
    )


def _install_middleware(app: FastAPI, context: Context) -> None:
    settings = context.settings
    app.add_middleware(
        BodyLimit,
        max_bytes=settings.max_body_bytes,
        max_upload_bytes=settings.max_upload_bytes,
        upload_paths=UPLOAD_PATHS,
    )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestMetrics, metrics=context.metrics)
    app.add_middleware(RequestLog)


def _complete_documentation(app: FastAPI) -> None:
    original = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = complete_openapi(original())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


async def _end_idle_ray(context: Context) -> None:
    """Stop an idle local Ray; one with a driver at work outlives the service."""
    async with context.database.reading() as session:
        counts = await count_by_state(session)
    if not any(counts[state] for state in ACTIVE):
        await asyncio.shield(context.cluster.stop_local())
