"""The service's loop over reviews: pushes what waits, looks into webhooks, pulls now and then.

Everything it knows is in the database, so that a restart at any moment loses nothing. A Label Studio that is
lost is tried again with growing pauses; the review says so. Times in seconds.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import InterfaceError, OperationalError

from fo1_data.errors import Fo1Error
from services.background import Loop
from services.database.engine import Database
from services.database.models import now
from services.database.review_states import ReviewState
from services.database.review_tables import Review
from services.label_studio.client import LabelStudio
from services.label_studio.connection import LabelStudioError, LabelStudioGone
from services.review import repository
from services.review.inbox.deliveries import Inbox
from services.review.inbox.pull import Pull, Pulled
from services.review.outbox.push import Push

_log = logging.getLogger("fo1.service")
EVERY_S = 2.0
PULL_EVERY_S = 60.0
MAX_PAUSE_S = 30.0


@dataclass(frozen=True)
class _Failure:
    """How often in a row a review went wrong, and what it says of that."""

    times: int
    told: str


class ReviewWorker:
    """Run its `loop`; `wake` it where something has just come in."""

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
        self.loop = Loop("reviews", self.look_once, every_s)
        self._pulling: dict[str, asyncio.Lock] = {}
        self._failures: dict[str, _Failure] = {}
        self._not_before: dict[str, float] = {}

    def wake(self) -> None:
        """Look at what there is now."""
        self._not_before.clear()
        self.loop.wake()

    async def look_once(self) -> bool:
        """One bounded piece of work on every review; True where more is left."""
        async with self._database.reading() as session:
            reviews = await repository.reviews_in_work(session)
        busy = [
            await self._look_at(review) for review in reviews if review.label_studio_url == self._client.url
        ]
        return any(busy)

    async def close(self) -> None:
        """Close the connections to Label Studio."""
        await self._client.close()

    async def pull(self, review_id: str) -> Pulled:
        """Pull a review now. Raises LabelStudioError."""
        async with self._lock(review_id):
            return await self._pull.changed(review_id)

    async def _look_at(self, review: Review) -> bool:
        if time.monotonic() < self._not_before.get(review.id, 0.0):
            return False
        try:
            busy = await self._push.step(review.id)
            async with self._lock(review.id):
                busy |= await self._inbox.look(review.id)
                if self._is_due(review):
                    await self._pull.changed(review.id)
            if (failure := self._failures.pop(review.id, None)) is not None:
                async with self._database.writing() as session:
                    await repository.clear_error(session, review.id, failure.told)
            return busy
        except LabelStudioError as error:
            if isinstance(error, LabelStudioGone) and await self._is_gone(review):
                await self._fail(review, error, project_id=None)
            else:
                await self._put_off(review, error)
        except Fo1Error as error:
            await self._fail(review, error)
        except (OperationalError, InterfaceError):
            raise  # the database is away, for all of them
        except Exception as error:
            # Whatever is wrong with one review, the others are looked after.
            _log.exception("looking after review %s", review.id)
            await self._put_off(review, f"{type(error).__name__}; the service's log says more")
        return False

    async def _is_gone(self, review: Review) -> bool:
        """Whether the review's project is no more in Label Studio."""
        try:
            if review.project_id is not None:
                await self._client.num_tasks(review.project_id)
        except LabelStudioGone:
            return True
        except LabelStudioError:
            return False
        return False

    async def _fail(self, review: Review, error: Fo1Error, **values: Any) -> None:
        _log.warning("review %s: %s", review.id, error)
        await self._set(review, state=ReviewState.FAILED, error=str(error)[:1000], **values)

    def _is_due(self, review: Review) -> bool:
        if review.project_id is None or self._pull_every_s <= 0:
            return False
        return review.pulled_at is None or (now() - review.pulled_at).total_seconds() >= self._pull_every_s

    async def _put_off(self, review: Review, error: object) -> None:
        times = self._failures[review.id].times + 1 if review.id in self._failures else 1
        self._failures[review.id] = failure = _Failure(times, str(error)[:1000])
        self._not_before[review.id] = time.monotonic() + min(2.0 ** min(times, 10) * 0.5, MAX_PAUSE_S)
        _log.warning("review %s: %s; it is tried again", review.id, error)
        await self._set(review, error=failure.told)

    async def _set(self, review: Review, **values: Any) -> None:
        async with self._database.writing() as session:
            await repository.set_review(session, review.id, **values)

    def _lock(self, review_id: str) -> asyncio.Lock:
        return self._pulling.setdefault(review_id, asyncio.Lock())
