"""`create_app`: the service as one ASGI application. Loads neither torch nor transformers nor Ray."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from fo1_data.dataset.layout import code_version
from services.api import health
from services.context import Context
from services.database.engine import open_database
from services.database.migrate import migrate
from services.metrics import Metrics, RequestMetrics
from services.problems import install_problems
from services.security.failure_limit import FailureLimit
from services.security.request_limits import BodyLimit, SecurityHeaders
from services.settings import Settings

UPLOAD_PATHS = ("/v1/predict", "/ml/", "/v1/webhooks/")


def create_app(settings: Settings) -> FastAPI:
    """The application; its database is migrated when it starts."""
    context = _context(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await migrate(context.database)
        try:
            yield
        finally:
            await context.database.dispose()

    app = FastAPI(title="fo1-data", version=code_version(), lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.context = context
    install_problems(app)
    app.add_middleware(
        BodyLimit,
        most=settings.max_body_bytes,
        upload_most=settings.max_upload_bytes,
        upload_paths=UPLOAD_PATHS,
    )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestMetrics, metrics=context.metrics)
    app.include_router(health.router)
    return app


def _context(settings: Settings) -> Context:
    return Context(
        settings=settings,
        database=open_database(settings),
        metrics=Metrics(),
        key_failures=FailureLimit(settings.key_failures_per_minute),
    )
