"""The service's loop over reviews: pushes waiting items, processes webhooks, pulls periodically.

Its state is in the database, so a restart at any moment loses nothing. If Label Studio does not answer, it
tries again with growing pauses and records the error in the review. Times in seconds.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import InterfaceError, OperationalError

from fo1_data.errors import Fo1Error
from fo1_data.logs import about
from fo1_data.traces import span
from schemas.reviews import ReviewState
from services.background import Loop
from services.database.engine import Database
from services.database.models import utc_now
from services.database.review_tables import Review
from services.label_studio.client import LabelStudio
from services.label_studio.connection import LabelStudioError, LabelStudioGone
from services.review import repository
from services.review.inbox.deliveries import Inbox
from services.review.inbox.ls_tasks import PullSummary
from services.review.inbox.pull import Pull
from services.review.outbox.push import Push

_log = logging.getLogger("fo1.service")
EVERY_S = 2.0
PULL_EVERY_S = 60.0
MAX_PAUSE_S = 30.0


@dataclass(frozen=True)
class _Failure:
    """How often in a row a review has failed, and the error recorded for it."""

    times: int
    error: str


class ReviewWorker:
    """Run its `loop`; call `wake` when there is new work."""

    def __init__(
        self,
        database: Database,
        client: LabelStudio,
        push: Push,
        every_s: float = EVERY_S,
        pull_every_s: float = PULL_EVERY_S,
    ) -> None:
        self._database, self._client, self._push = database, client, push
        self._pull = Pull(database, client)
        self._inbox = Inbox(database, self._pull)
        self._pull_every_s = pull_every_s
        self.loop = Loop("reviews", self.step, every_s)
        self._pull_locks: dict[str, asyncio.Lock] = {}
        self._failures: dict[str, _Failure] = {}
        self._not_before: dict[str, float] = {}

    def wake(self) -> None:
        """Start the next step now, also for reviews that wait after an error."""
        self._not_before.clear()
        self.loop.wake()

    async def step(self) -> bool:
        """Do one bounded piece of work on every review; True if more is left."""
        async with self._database.reading() as session:
            reviews = await repository.active_reviews(session)
        busy = [
            await self._step_review(review)
            for review in reviews
            if review.label_studio_url == self._client.url
        ]
        return any(busy)

    async def close(self) -> None:
        """Close the connections to Label Studio."""
        await self._client.close()

    async def pull(self, review_id: str) -> PullSummary:
        """Pull a review now. Raises LabelStudioError."""
        async with self._pull_lock(review_id):
            with span("pull_review", {"fo1.review": review_id}):
                return await self._pull.pull_changes(review_id)

    async def _step_review(self, review: Review) -> bool:
        with about(review=review.id):
            return await self._try_step(review)

    async def _try_step(self, review: Review) -> bool:
        if time.monotonic() < self._not_before.get(review.id, 0.0):
            return False
        try:
            busy = await self._push.step(review.id)
            async with self._pull_lock(review.id):
                busy |= await self._inbox.process(review.id)
                if self._is_pull_due(review):
                    with span("pull_review", {"fo1.review": review.id}):
                        await self._pull.pull_changes(review.id)
            if (failure := self._failures.pop(review.id, None)) is not None:
                async with self._database.writing() as session:
                    await repository.clear_error(session, review.id, failure.error)
            return busy
        except LabelStudioError as error:
            if isinstance(error, LabelStudioGone) and await self._is_gone(review):
                await self._fail(review, error, project_id=None)
            else:
                await self._postpone(review, error)
        except Fo1Error as error:
            await self._fail(review, error)
        except (OperationalError, InterfaceError):
            raise  # the database does not answer, for any review
        except Exception as error:
            # A fault of one review must not stop the others.
            _log.exception("review %s failed unexpectedly", review.id)
            await self._postpone(review, f"{type(error).__name__}; see the service's log")
        return False

    async def _is_gone(self, review: Review) -> bool:
        """Return whether the review's project no longer exists in Label Studio."""
        try:
            if review.project_id is not None:
                await self._client.project_counts(review.project_id)
        except LabelStudioGone:
            return True
        except LabelStudioError:
            return False
        return False

    async def _fail(self, review: Review, error: Fo1Error, **values: Any) -> None:
        _log.warning("review %s: %s", review.id, error)
        await self._set(review, state=ReviewState.FAILED, error=str(error)[:1000], **values)

    def _is_pull_due(self, review: Review) -> bool:
        if review.project_id is None or self._pull_every_s <= 0:
            return False
        return (
            review.pulled_at is None or (utc_now() - review.pulled_at).total_seconds() >= self._pull_every_s
        )

    async def _postpone(self, review: Review, error: object) -> None:
        times = self._failures[review.id].times + 1 if review.id in self._failures else 1
        self._failures[review.id] = failure = _Failure(times, str(error)[:1000])
        self._not_before[review.id] = time.monotonic() + min(2.0 ** min(times, 10) * 0.5, MAX_PAUSE_S)
        _log.warning("review %s: %s; it will be tried again", review.id, error)
        await self._set(review, error=failure.error)

    async def _set(self, review: Review, **values: Any) -> None:
        async with self._database.writing() as session:
            await repository.set_review(session, review.id, **values)

    def _pull_lock(self, review_id: str) -> asyncio.Lock:
        return self._pull_locks.setdefault(review_id, asyncio.Lock())
