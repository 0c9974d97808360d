"""The outbox: items of a review into Label Studio, each exactly once, whatever breaks in between.

Every step is safe to run again. An item is marked `sending` before the request that inserts it leaves; what
is found in that state later (a crash, a timeout, a 5xx) is looked for in Label Studio by its own key before
it is sent again, and where a late insert can still have come, the project is searched for doubles at the
end. One process works on a review at a time. Requests are bounded in items and bytes. Where the grant of the
images' addresses was revoked, what is in Label Studio already gets new addresses.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from services.database.engine import Database
from services.database.models import now
from services.database.review_states import ItemState, ReviewState
from services.database.review_tables import Review, ReviewItem
from services.label_studio.client import LOOKUP, LabelStudio
from services.label_studio.connection import (
    LabelStudioGone,
    LabelStudioRefused,
)
from services.label_studio.convert import KEY, ls_task
from services.label_studio.labelling_config import CONFIG, INSTRUCTION, LIVE_CONFIG, with_answers
from services.label_studio.shown import unpack
from services.review import item_repository, repository
from services.review.doubles import remove_doubles
from services.review.live import LiveBackend
from services.review.outbox.holder import LEASE_S, Holder
from services.review.outbox.plan import plan_items

BATCH_ITEMS = 100
BATCH_BYTES = 4 * 2**20
RENEWED_AT_ONCE = 20
SECRET_HEADER, REVIEW_HEADER = "X-Fo1-Secret", "X-Fo1-Review"
_log = logging.getLogger("fo1.service")

ImageUrls = Callable[[Review], Awaitable[Callable[[str], str]]]


class Push:
    """Pushes reviews to one Label Studio.

    `image_urls` gives for a review the function from an image's id to the address that a browser loads;
    `webhook` the address and secret of a review's webhook (None: none is registered); `live` connects
    the projects of live reviews (None: no review is).
    """

    def __init__(
        self,
        database: Database,
        client: LabelStudio,
        image_urls: ImageUrls,
        webhook: Callable[[str], tuple[str, str] | None],
        holder: Holder | None = None,
        batch_items: int = BATCH_ITEMS,
        live: LiveBackend | None = None,
    ) -> None:
        self._database, self._client = database, client
        self._image_urls, self._webhook, self._live = image_urls, webhook, live
        self._holder = holder or Holder()
        self._batch_items = batch_items

    async def all(self, review_id: str) -> None:
        """Step until nothing is left to do. Raises LabelStudioError, DatasetError."""
        while await self.step(review_id):
            pass

    async def step(self, review_id: str) -> bool:
        """Do the next bounded piece of work on a review; False where none is left, or another does it."""
        if not await self._is_wanted(review_id):
            return False
        review = await self._hold(review_id)
        if review is None or review.state in ("open", "failed"):
            return False
        if review.state == ReviewState.PREPARING:
            await self._prepare(review)
        elif review.project_id is None:
            await self._find_project(review)
        elif not await self._settle(review) and not await self._renew(review):
            return await self._send(review)
        return True

    async def _is_wanted(self, review_id: str) -> bool:
        """Whether there is a push to work on: to look takes no lock."""
        async with self._database.reading() as session:
            review = await repository.find_review(session, review_id)
        return review is not None and review.state not in ("open", "failed")

    async def _hold(self, review_id: str) -> Review | None:
        async with self._database.writing() as session:
            review = await repository.find_review(session, review_id)
            if review is None:
                return None
            free = [review.pusher] if review.pusher and self._holder.is_dead(review.pusher) else []
            held = await repository.take_lease(session, review_id, self._holder.name, free, LEASE_S)
            await session.refresh(review)
            return review if held else None

    async def _prepare(self, review: Review) -> None:
        """Write the items of the dataset into the outbox; a start in the middle goes over it again."""
        batches = plan_items(review.dataset, review.id, review.key, review.options)
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            async with self._database.writing() as session:
                await item_repository.add_items(session, batch)
                await repository.set_review(session, review.id, pusher_seen_at=now())
        if review.project_id is not None:
            await self._add_fields(review.project_id)
        async with self._database.writing() as session:
            fresh = await repository.lock_review(session, review.id)
            await item_repository.order_items(session, review.id, review.options.get("limit"))
            # Where other options were asked for in the meantime it is gone over once more.
            if fresh is not None and fresh.options == review.options:
                await repository.set_review(session, review.id, state=ReviewState.PUSHING, error=None)

    async def _add_fields(self, project_id: int) -> None:
        """Fields that new items need and a project made before there were any lacks; all else stays."""
        config = await self._client.label_config(project_id)
        if with_answers(config) != config:
            await self._client.update_project(project_id, label_config=with_answers(config))

    async def _find_project(self, review: Review) -> None:
        """The project that carries the review's key, made where there is none, with its webhook."""
        mark = f"fo1-review:{review.key}"
        fields: dict[str, Any] = {
            "label_config": LIVE_CONFIG if review.options.get("live") else CONFIG,
            "expert_instruction": INSTRUCTION,
            "show_instruction": False,
            "show_collab_predictions": True,
            "sampling": "Sequential sampling",
            "maximum_annotations": int(review.options.get("annotators") or 1),
        }
        found = await self._client.find_project(mark)
        if found is None:
            about = f"Made by fo1-data of {review.dataset}. {mark}"
            project_id = await self._client.create_project(
                title=review.title[:50], description=about, **fields
            )
        else:
            project_id = int(found["id"])
            await self._client.update_project(project_id, **fields)
            # A project we did not know of may hold our items already.
            await self._set(review, doubtful=True)
            await self._adopt(review, project_id)
        webhook = self._webhook(review.id)
        webhook_id = None
        if webhook is not None:
            headers = {SECRET_HEADER: webhook[1], REVIEW_HEADER: review.id}
            webhook_id = await self._client.set_webhook(project_id, webhook[0], headers)
        await self._set(review, project_id=project_id, webhook_id=webhook_id, error=None)

    async def _adopt(self, review: Review, project_id: int) -> None:
        """Items that a project found again holds already."""
        there = {key: task for key, task, _ in reversed(await self._client.all_keys(project_id, KEY))}
        keys = list(there)
        for start in range(0, len(keys), 500):
            async with self._database.writing() as session:
                items = await item_repository.items_of_keys(session, review.id, keys[start : start + 500])
                missing = [
                    (item.id, there[key])
                    for key, item in items.items()
                    if item.state in (ItemState.WAITING, ItemState.SENDING)
                ]
                await item_repository.mark_found(session, missing)

    async def _settle(self, review: Review) -> bool:
        """Look for items whose insert has an unknown end; True where there were any."""
        async with self._database.reading() as session:
            unsure = await item_repository.items_in(session, review.id, ItemState.SENDING, self._batch_items)
        if not unsure:
            return False
        assert review.project_id is not None
        await self._set(review, doubtful=True)
        found: dict[str, int] = {}
        keys = [item.fo1_key for item in unsure]
        for start in range(0, len(keys), LOOKUP):
            some = keys[start : start + LOOKUP]
            for key, task, _ in await self._client.tasks_by_key(review.project_id, some, KEY):
                found[key] = min(task, found.get(key, task))
        async with self._database.writing() as session:
            there = [(item.id, found[item.fo1_key]) for item in unsure if item.fo1_key in found]
            await item_repository.mark_sent(session, there)
            absent = [item.id for item in unsure if item.fo1_key not in found]
            await item_repository.set_items(session, absent, state=ItemState.WAITING)
        return True

    async def _send(self, review: Review) -> bool:
        """Send the next batch; with nothing left, close the push. False where that is done."""
        async with self._database.writing() as session:
            grant = review.image_grant_id
            items = await item_repository.claim_items(session, review.id, self._batch_items, grant)
        if not items:
            return not await self._close(review)
        image_url = await self._image_urls(review)
        try:
            for batch in await asyncio.to_thread(_batches, items, review, image_url):
                await self._insert(review, batch)
        except LabelStudioGone:
            raise LabelStudioGone(
                f"project {review.project_id} is no more in Label Studio: push again to make it anew"
            ) from None
        return True

    async def _insert(self, review: Review, batch: Sequence[tuple[ReviewItem, dict[str, Any]]]) -> None:
        """Insert a batch; one that is refused is split until the guilty item stands alone."""
        assert review.project_id is not None
        try:
            ids = await self._client.import_tasks(review.project_id, [document for _, document in batch])
        except LabelStudioRefused as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._insert(review, batch[:middle])
                await self._insert(review, batch[middle:])
                return
            _log.warning("Label Studio refuses image %s: %s", batch[0][0].image_id, error)
            async with self._database.writing() as session:
                await item_repository.set_items(
                    session, [batch[0][0].id], state=ItemState.REFUSED, error=str(error)[:1000]
                )
            return
        async with self._database.writing() as session:
            sent = [(item.id, task) for (item, _), task in zip(batch, ids, strict=True)]
            await item_repository.mark_sent(session, sent)
            await repository.set_review(session, review.id, pusher_seen_at=now(), error=None)

    async def _renew(self, review: Review) -> bool:
        """New addresses for images that are shown under a grant that was revoked; True where there were any.

        Only the data of an LsTask changes: what was said of it stays.
        """
        grant = review.image_grant_id or ""
        async with self._database.reading() as session:
            items = await item_repository.items_of_other_grants(session, review.id, grant, RENEWED_AT_ONCE)
        if not items:
            return False
        image_url = await self._image_urls(review)
        for item, document in await asyncio.to_thread(lambda: list(_documents(items, review, image_url))):
            try:
                await self._client.update_task(item.ls_task_id or 0, data=document["data"])
            except (LabelStudioGone, LabelStudioRefused) as error:
                _log.warning("image %s keeps its old address in Label Studio: %s", item.image_id, error)
        async with self._database.writing() as session:
            await item_repository.set_items(session, [item.id for item in items], image_grant_id=grant)
            await repository.set_review(session, review.id, pusher_seen_at=now())
        return True

    async def _close(self, review: Review) -> bool:
        """Open the review for people; False where more has come in the meantime."""
        assert review.project_id is not None
        if review.doubtful:
            await remove_doubles(self._database, self._client, review.id, review.project_id)
        told = await self._live.settle(review, review.project_id) if self._live is not None else None
        await self._client.update_project(review.project_id, model_version=review.model_version)
        async with self._database.writing() as session:
            fresh = await repository.lock_review(session, review.id)
            if (
                fresh is None
                or fresh.state != "pushing"
                or await item_repository.any_unsent(session, review.id)
            ):
                return False
            if fresh.image_grant_id != review.image_grant_id:
                return False  # revoked meanwhile: what is there needs new addresses
            values = {"state": "open", "doubtful": False, "error": told, "pusher_seen_at": now()}
            await repository.set_review(session, review.id, **values)
        return True

    async def _set(self, review: Review, **values: Any) -> None:
        async with self._database.writing() as session:
            await repository.set_review(session, review.id, **values, pusher_seen_at=now())


def _batches(
    items: Sequence[ReviewItem], review: Review, image_url: Callable[[str], str]
) -> list[list[tuple[ReviewItem, dict[str, Any]]]]:
    """The items with their LsTasks, in requests of at most BATCH_BYTES (one item may be larger)."""
    return list(_cut(_documents(items, review, image_url)))


def _documents(
    items: Sequence[ReviewItem], review: Review, image_url: Callable[[str], str]
) -> Iterator[tuple[ReviewItem, dict[str, Any]]]:
    for item in items:
        url = image_url(item.image_id)
        yield item, ls_task(unpack(item.shown), item.fo1_key, url, review.model_version)


def _cut(
    documents: Iterator[tuple[ReviewItem, dict[str, Any]]],
) -> Iterator[list[tuple[ReviewItem, dict[str, Any]]]]:
    batch: list[tuple[ReviewItem, dict[str, Any]]] = []
    size = 0
    for item, document in documents:
        num_bytes = len(json.dumps(document))
        if batch and size + num_bytes > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append((item, document))
        size += num_bytes
    if batch:
        yield batch
