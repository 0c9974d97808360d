"""Makes the browser copies of a review's videos ahead of its first reviewer, in the background.

What is ready is known to this process alone: after a restart, a copy that is missing is made when it is first
asked for. In the order of the review, up to MOST_BYTES of copies, so that they do not push each other out of
the cache.
"""

import asyncio
import logging
from pathlib import Path

from pydantic import BaseModel

from services.database.engine import Database
from services.database.review_tables import Review
from services.datasets.project_roots import ProjectRoots
from services.datasets.videos import CACHE_BYTES, VideoShelf
from services.problems import Problem
from services.review import item_repository

MOST_BYTES = CACHE_BYTES // 2
_log = logging.getLogger("fo1.service")


class VideosReady(BaseModel):
    """How many of a review's videos play at once, and how many cannot be shown. The rest is being made, or
    will be when it is first asked for."""

    total: int
    ready: int = 0
    failed: int = 0


class VideoCopies:
    """Copies for reviews; one task a review."""

    def __init__(self, database: Database, roots: ProjectRoots, shelf: VideoShelf) -> None:
        self._database, self._roots, self._shelf = database, roots, shelf
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ready: dict[str, VideosReady] = {}

    def begin(self, review: Review) -> None:
        """Make the copies of a review's videos, unless that is at work."""
        task = self._tasks.get(review.id)
        if task is None or task.done():
            self._tasks[review.id] = asyncio.create_task(self._make(review))

    def ready(self, review_id: str) -> VideosReady | None:
        """How far the copies of a review are; None if this process has begun none."""
        return self._ready.get(review_id)

    async def close(self) -> None:
        """End what is at work."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _make(self, review: Review) -> None:
        try:
            await self._make_all(review)
        except Exception:
            _log.exception("review %s: its videos are made when they are first asked for", review.id)

    async def _make_all(self, review: Review) -> None:
        async with self._database.reading() as session:
            video_ids = await item_repository.image_ids(session, review.id)
        self._ready[review.id] = ready = VideosReady(total=len(video_ids))
        roots = await self._roots.of(review.owner_project_id)
        num_bytes = 0
        for video_id in video_ids:
            try:
                path = await self._shelf.file_of(review.dataset, video_id, roots)
            except Problem as problem:
                ready.failed += 1
                _log.warning("review %s: video %s cannot be shown: %s", review.id, video_id[:16], problem)
                continue
            ready.ready += 1
            num_bytes += self._copy_bytes(path)
            if num_bytes > MOST_BYTES:
                return

    def _copy_bytes(self, path: Path) -> int:
        return path.stat().st_size if self._shelf.is_copy(path) else 0
