"""The outbox: inserts the items of a review into Label Studio, each exactly once, whatever fails in between.

Every step can safely run again. An item is marked `sending` before its insert request leaves. An item found
in that state later (after a crash, a timeout, a 5xx) is looked up in Label Studio by its key before it is
sent again. If that has happened, the project is searched at the end for LsTasks that were inserted twice or
without their predictions. One process works on a review at a time. Requests are bounded in items and bytes.
After the grant of the image addresses was revoked, LsTasks that are already in Label Studio get new
addresses.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fo1_data.traces import span
from schemas.reviews import ItemState, ReviewState
from services.database.engine import Database
from services.database.models import utc_now
from services.database.review_tables import Review
from services.datasets.repository import get_dataset
from services.label_studio.client import LabelStudio
from services.label_studio.connection import LabelStudioGone, LabelStudioRefused
from services.label_studio.task_lists import MAX_KEYS, REQUEST, KeyedTask
from services.review import item_repository, repository
from services.review.duplicates import remove_duplicates
from services.review.live import LiveBackend
from services.review.outbox.batches import ItemTask, ls_tasks, split_by_size
from services.review.outbox.holder import LEASE_S, Holder
from services.review.outbox.plan import plan_items
from services.review.outbox.project import add_missing_fields, set_up_project
from services.review.selection import selected_images
from services.review.video_copies import VideoCopies

MAX_ITEMS = 100
MAX_RENEWED = 20
_ENDED = (ReviewState.OPEN, ReviewState.FAILED)
_log = logging.getLogger("fo1.service")

ImageUrls = Callable[[Review], Awaitable[Callable[[str], str]]]


class Push:
    """Pushes reviews to one Label Studio.

    `image_urls`: maps a review to its function from an image id to the address that a browser loads.
    `webhook`: maps a review id to the address and secret of its webhook (None: register no webhook).
    `live`: connects the projects of live reviews (None: never). `copies`: makes videos ready for browsers
    (None: when they are first asked for). `batch_items`: items per request.
    """

    def __init__(
        self,
        database: Database,
        client: LabelStudio,
        image_urls: ImageUrls,
        webhook: Callable[[str], tuple[str, str] | None],
        holder: Holder | None = None,
        batch_items: int = MAX_ITEMS,
        live: LiveBackend | None = None,
        copies: VideoCopies | None = None,
    ) -> None:
        self._database, self._client = database, client
        self._image_urls, self._webhook, self._live = image_urls, webhook, live
        self._holder = holder or Holder()
        self._batch_items, self._copies = batch_items, copies

    async def run(self, review_id: str) -> None:
        """Step until nothing is left to do. Raises LabelStudioError, DatasetError."""
        while await self.step(review_id):
            pass

    async def step(self, review_id: str) -> bool:
        """Do the next bounded piece of work on a review; False if nothing is left, or another process works.

        Raises LabelStudioError, DatasetError.
        """
        if not await self._is_pushing(review_id):
            return False
        review = await self._take_lease(review_id)
        if review is None or review.state in _ENDED:
            return False
        with span("push_review", {"fo1.review": review.id, "fo1.state": review.state}):
            return await self._advance(review)

    async def _advance(self, review: Review) -> bool:
        if review.state == ReviewState.PREPARING:
            await self._prepare(review)
        elif review.project_id is None:
            ids = await set_up_project(self._database, self._client, review, self._webhook(review.id))
            await self._set(review, **ids, error=None)
        elif not await self._find_unconfirmed(review) and not await self._renew_addresses(review):
            return await self._send(review)
        return True

    async def _is_pushing(self, review_id: str) -> bool:
        """Return whether there is a push to work on; this takes no lock."""
        async with self._database.reading() as session:
            review = await repository.find_review(session, review_id)
        return review is not None and review.state not in _ENDED

    async def _take_lease(self, review_id: str) -> Review | None:
        async with self._database.writing() as session:
            review = await repository.find_review(session, review_id)
            if review is None:
                return None
            dead = [review.pusher] if review.pusher and self._holder.is_dead(review.pusher) else []
            taken = await repository.take_lease(session, review_id, self._holder.name, dead, LEASE_S)
            await session.refresh(review)
            return review if taken else None

    async def _prepare(self, review: Review) -> None:
        """Write the items of the dataset into the outbox; after an interruption this starts over."""
        selected = None
        if review.options.only is not None:
            async with self._database.reading() as session:
                record = await get_dataset(session, review.dataset_id or "")
            number = record.number if record is not None else 0
            selected = await selected_images(self._database, number, review.options.only)
        batches = plan_items(review.dataset, review.id, review.key, review.options, selected)
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            async with self._database.writing() as session:
                await item_repository.add_items(session, batch)
                await repository.set_review(session, review.id, pusher_seen_at=utc_now())
        if review.project_id is not None:
            await add_missing_fields(self._database, self._client, review, review.project_id)
        async with self._database.writing() as session:
            fresh = await repository.lock_review(session, review.id)
            await item_repository.order_items(session, review.id, review.options.limit)
            # If the options have changed in the meantime, the next step prepares once more.
            if fresh is not None and fresh.options == review.options:
                await repository.set_review(session, review.id, state=ReviewState.PUSHING, error=None)
        if self._copies is not None and review.options.tracks:
            self._copies.begin(review)

    async def _find_unconfirmed(self, review: Review) -> bool:
        """Look up items whose insert has an unknown result; True if there were any."""
        async with self._database.reading() as session:
            items = await item_repository.items_in_state(
                session, review.id, ItemState.SENDING, self._batch_items
            )
        if not items:
            return False
        assert review.project_id is not None
        await self._set(review, doubtful=True)
        task_by_key: dict[str, int] = {}
        keys = [item.fo1_key for item in items]
        for start in range(0, len(keys), MAX_KEYS):
            batch = keys[start : start + MAX_KEYS]
            for task in await self._client.tasks_by_key(review.project_id, batch):
                task_by_key.setdefault(task.key, task.ls_task_id)
        async with self._database.writing() as session:
            present = [(item.id, task_by_key[item.fo1_key]) for item in items if item.fo1_key in task_by_key]
            await item_repository.mark_sent(session, present)
            absent = [item.id for item in items if item.fo1_key not in task_by_key]
            await item_repository.set_items(session, absent, state=ItemState.WAITING)
        return True

    async def _send(self, review: Review) -> bool:
        """Send the next batch, or close the push if nothing is left; False once it is closed."""
        async with self._database.writing() as session:
            grant = review.image_grant_id
            items = await item_repository.claim_items(session, review.id, self._batch_items, grant)
        if not items:
            return not await self._close(review)
        image_url = await self._image_urls(review)
        try:
            batches = await asyncio.to_thread(lambda: split_by_size(ls_tasks(items, review, image_url)))
            for batch in batches:
                await self._insert(review, batch)
        except LabelStudioGone:
            raise LabelStudioGone(
                f"project {review.project_id} no longer exists in Label Studio: push again to create it anew"
            ) from None
        return True

    async def _insert(self, review: Review, batch: Sequence[ItemTask]) -> None:
        """Insert a batch. A refused batch is split until the refused item stands alone."""
        assert review.project_id is not None
        request = {REQUEST: secrets.token_hex(6)}
        documents = [{**document, "data": document["data"] | request} for _, document in batch]
        try:
            ids = await self._client.import_tasks(review.project_id, documents)
        except LabelStudioRefused as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._insert(review, batch[:middle])
                await self._insert(review, batch[middle:])
                return
            item = batch[0][0]
            _log.warning("Label Studio refuses image %s: %s", item.image_id, error)
            async with self._database.writing() as session:
                await item_repository.set_items(
                    session, [item.id], state=ItemState.REFUSED, error=str(error)[:1000]
                )
            return
        async with self._database.writing() as session:
            sent = [(item.id, ls_task_id) for (item, _), ls_task_id in zip(batch, ids, strict=True)]
            await item_repository.mark_sent(session, sent)
            await repository.set_review(session, review.id, pusher_seen_at=utc_now(), error=None)

    async def _renew_addresses(self, review: Review) -> bool:
        """Give LsTasks whose image grant was revoked new addresses; True if there were any.

        Only the data of an LsTask changes: its annotations stay, and so does what others added to the data.
        """
        assert review.project_id is not None
        grant = review.image_grant_id or ""
        async with self._database.reading() as session:
            items = await item_repository.items_of_other_grants(session, review.id, grant, MAX_RENEWED)
        if not items:
            return False
        image_url = await self._image_urls(review)
        tasks = await self._client.tasks_of(review.project_id, [item.ls_task_id or 0 for item in items])
        data_of = {task.ls_task_id: task.data for task in tasks}
        for item, document in await asyncio.to_thread(ls_tasks, items, review, image_url):
            ls_task_id = item.ls_task_id or 0
            try:
                await self._client.update_task(ls_task_id, data_of.get(ls_task_id, {}) | document["data"])
            except (LabelStudioGone, LabelStudioRefused) as error:
                _log.warning("image %s keeps its old address in Label Studio: %s", item.image_id, error)
        async with self._database.writing() as session:
            await item_repository.set_items(session, [item.id for item in items], image_grant_id=grant)
            await repository.set_review(session, review.id, pusher_seen_at=utc_now())
        return True

    async def _close(self, review: Review) -> bool:
        """Open the review for people; False if new items or a new grant have come in the meantime."""
        assert review.project_id is not None
        if review.doubtful:
            tasks = await self._client.all_tasks(review.project_id)
            await remove_duplicates(self._database, self._client, review, review.project_id, tasks)
            await self._add_predictions(review, [task for task in tasks if not task.num_predictions])
        error = await self._live.apply(review, review.project_id) if self._live is not None else None
        await self._client.update_project(review.project_id, model_version=review.model_version)
        async with self._database.writing() as session:
            fresh = await repository.lock_review(session, review.id)
            if (
                fresh is None
                or fresh.state != ReviewState.PUSHING
                or fresh.image_grant_id != review.image_grant_id
                or await item_repository.any_unsent(session, review.id)
            ):
                return False
            await repository.set_review(
                session,
                review.id,
                state=ReviewState.OPEN,
                doubtful=False,
                error=error,
                pusher_seen_at=utc_now(),
            )
        return True

    async def _add_predictions(self, review: Review, tasks: Sequence[KeyedTask]) -> None:
        """Send the predictions of items whose LsTasks have none: an import was cut off between the two."""
        assert review.project_id is not None
        for start in range(0, len(tasks), self._batch_items):
            ids = [task.ls_task_id for task in tasks[start : start + self._batch_items]]
            async with self._database.writing() as session:
                items = await item_repository.items_of_tasks(session, review.id, ids)
                await repository.set_review(session, review.id, pusher_seen_at=utc_now())
            image_url = await self._image_urls(review)
            for batch in await asyncio.to_thread(split_by_size, ls_tasks(items, review, image_url)):
                await self._client.import_predictions(
                    review.project_id,
                    [item.ls_task_id or 0 for item, _ in batch],
                    [document for _, document in batch],
                )

    async def _set(self, review: Review, **values: Any) -> None:
        async with self._database.writing() as session:
            await repository.set_review(session, review.id, **values, pusher_seen_at=utc_now())
