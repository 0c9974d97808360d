"""The objects that all endpoints of one service process share."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from services.database.engine import Database
from services.database.outages import Outages
from services.datasets.grants import Grants
from services.datasets.images import ImageShelf
from services.datasets.indexer import Indexer
from services.datasets.page_cache import PageCache
from services.datasets.project_roots import ProjectRoots
from services.datasets.videos import VideoShelf
from services.jobs.cluster import Cluster
from services.jobs.event_streams import JobEvents
from services.jobs.reconciler import Reconciler
from services.metrics import Metrics
from services.operations.routing_curves import RoutingCurves
from services.operations.runner import OperationRunner
from services.predictions.service import Predictions
from services.rendering import Pages
from services.review.video_copies import VideoCopies
from services.review.worker import ReviewWorker
from services.security.failure_limit import FailureLimit
from services.security.sessions import Sessions
from services.security.signing import UrlSigner
from services.settings import Settings


@dataclass
class Context:
    """The shared objects; `create_app` makes them once. `image_sizes`: width and height by image id."""

    settings: Settings
    database: Database
    outages: Outages
    metrics: Metrics
    key_failures: FailureLimit
    project_roots: ProjectRoots
    curves: RoutingCurves
    cluster: Cluster
    reconciler: Reconciler
    indexer: Indexer
    events: JobEvents
    signer: UrlSigner
    grants: Grants
    images: ImageShelf
    videos: VideoShelf
    video_copies: VideoCopies
    predictions: Predictions
    operations: OperationRunner
    sessions: Sessions
    pages: Pages
    reviews: ReviewWorker | None
    pages_of_samples: PageCache = field(default_factory=PageCache)
    image_sizes: dict[str, tuple[int, int]] = field(default_factory=dict)


def context_of(request: Request) -> Context:
    """Return the context of the application that serves `request`."""
    context = request.app.state.context
    assert isinstance(context, Context)
    return context


async def _context(request: Request) -> Context:
    return context_of(request)  # FastAPI runs a dependency that is no coroutine in a thread


InContext = Annotated[Context, Depends(_context)]
