"""A review in a database of its own, against a real or fake Label Studio, without the HTTP API."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from factories import make_dataset, make_row
from fake_label_studio import FakeLabelStudio, Killed
from running_service import make_settings
from sqlalchemy import text

from fo1_data.dataset.manifest import read_manifest
from fo1_data.storage.store import open_store
from schemas.corrections import Correction
from schemas.images import ImageRow
from schemas.labels import Decision
from schemas.reviews import ReviewOptions, ReviewState
from services.database.engine import Database, open_database
from services.database.migrate import migrate
from services.database.review_tables import Review
from services.datasets import registry
from services.label_studio.client import LabelStudio
from services.label_studio.connection import LabelStudioLost
from services.review import (
    annotation_repository,
    correction_repository,
    delivery_repository,
    item_repository,
    repository,
    service,
)
from services.review.inbox.deliveries import Inbox, parse_webhook
from services.review.inbox.ls_tasks import PullSummary
from services.review.inbox.pull import Pull
from services.review.live import LiveBackend
from services.review.outbox.holder import Holder
from services.review.outbox.push import Push
from services.settings import Settings

URL = "http://label-studio.test"
REVIEW = Decision.REVIEW
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


def review_rows(count: int, folder: Path, num_regions: int = 2) -> list[ImageRow]:
    """Return rows routed to review, the most doubtful first."""
    rows = [
        make_row(seed, num_regions, folder=folder, decisions=[REVIEW] * num_regions) for seed in range(count)
    ]
    for place, row in enumerate(rows):
        for label in (label for region in row.regions for label in region.labels):
            label.confidence = (place + 1) / (count + 1)
    return rows


@dataclass
class Bench:
    """The parts of a service process that a review needs. `restart`: another process on the database."""

    settings: Settings
    database: Database
    client: LabelStudio
    review_id: str
    batch_items: int
    holder: Holder | None = None

    def __post_init__(self) -> None:
        self.push = Push(
            self.database,
            self.client,
            _image_urls,
            _webhook,
            self.holder or Holder(),
            self.batch_items,
            LiveBackend(self.client, self.settings),
        )
        self.pull = Pull(self.database, self.client)
        self.inbox = Inbox(self.database, self.pull)

    async def restart(self) -> None:
        """The process ends without notice and another one starts."""
        await self.database.dispose()
        self.database = open_database(self.settings)
        self.__post_init__()

    async def review(self) -> Review:
        async with self.database.reading() as session:
            review = await repository.find_review(session, self.review_id)
        assert review is not None
        return review

    async def counts(self) -> dict[str, int]:
        async with self.database.reading() as session:
            counts = await item_repository.count_items(session, self.review_id)
        return {state: number for (_, state), number in counts.items()}

    async def annotations(self) -> dict[str, int]:
        async with self.database.reading() as session:
            return await annotation_repository.count_annotations(session, self.review_id)

    async def corrections(self, everyone: bool = False) -> list[Correction]:
        async with self.database.reading() as session:
            rows = await correction_repository.list_corrections(
                session, self.review_id, everyone, None, 100_000
            )
        return [Correction.model_validate_json(text) for _, text in rows]

    async def edits(self) -> list[str]:
        """Return the new captions, sorted."""
        return sorted(
            correction.after.text or ""
            for correction in await self.corrections()
            if correction.after and correction.action == "recaptioned"
        )

    async def hear(self, payload: dict[str, Any]) -> None:
        async with self.database.writing() as session:
            await delivery_repository.add_deliveries(session, parse_webhook(self.review_id, payload))

    async def look(self, times: int = 6) -> None:
        """Process deliveries until nothing is left."""
        for _ in range(times):
            await self.inbox.process(self.review_id)

    async def ask_again(self, dataset: Path, **options: Any) -> None:
        """Somebody pushes again."""
        assert await _ask(self.settings, self.database, dataset, options) == self.review_id

    async def changed(self) -> PullSummary:
        return await self.pull.pull_changes(self.review_id)

    @asynccontextmanager
    async def and_another(self, dataset: Path, **options: Any) -> AsyncIterator["Bench"]:
        """A second, newer review in the same database and Label Studio."""
        review_id = await _ask(self.settings, self.database, dataset, options)
        yield Bench(self.settings, self.database, self.client, review_id, self.batch_items)


@asynccontextmanager
async def open_bench(
    home: Path,
    dataset: Path,
    transport: httpx.AsyncBaseTransport | None = None,
    url: str = URL,
    token: str = "t" * 40,
    batch_items: int = 4,
    database_url: str | None = None,
    **options: Any,
) -> AsyncIterator[Bench]:
    """A migrated database with one review of `dataset`, not pushed yet."""
    settings = make_settings(home, label_studio_url=url, label_studio_token=token, database_url=database_url)
    database = open_database(settings)
    client = LabelStudio(url, token, transport=transport, pause_s=0.0 if transport else 0.3)
    bench = Bench(settings, database, client, "", batch_items)
    try:
        await migrate(database)
        bench.review_id = await _ask(settings, database, dataset, options)
        yield bench
    finally:
        await client.close()
        await bench.database.dispose()


async def _ask(settings: Settings, database: Database, dataset: Path, options: dict[str, Any]) -> str:
    manifest = await asyncio.to_thread(lambda: read_manifest(open_store(str(dataset))))
    async with database.writing() as session:
        record = await registry.register(session, str(dataset), manifest)
        return (await service.request_push(session, settings, record, None, ReviewOptions(**options))).id


def make_review_dataset(folder: Path, count: int = 10, num_regions: int = 2) -> tuple[Path, list[ImageRow]]:
    """A finished dataset whose rows all wait for review."""
    rows = review_rows(count, folder / "images", num_regions)
    make_dataset(folder / "dataset", rows)
    return folder / "dataset", rows


async def _image_urls(review: Review) -> Callable[[str], str]:
    return lambda image_id: f"http://service.test/v1/images/{image_id}?grant={review.image_grant_id}"


def _webhook(review_id: str) -> tuple[str, str]:
    return "http://service.test/v1/webhooks/label-studio", "secret"


async def push_through(bench: Bench, tries: int = 200) -> None:
    """Push until it is done, as the service's loop does; a killed process is followed by another."""
    for _ in range(tries):
        try:
            await bench.push.run(bench.review_id)
        except LabelStudioLost:
            continue
        except Killed:
            await bench.restart()
            continue
        if (await bench.review()).state == "open":
            return
    raise AssertionError("the push never ends")


@asynccontextmanager
async def open_review(
    home: Path, dataset: tuple[Path, list[ImageRow]], **options: Any
) -> AsyncIterator[tuple[Bench, FakeLabelStudio]]:
    """A review that is open in a Label Studio."""
    fake = FakeLabelStudio()
    async with open_bench(home, dataset[0], fake, **options) as bench:
        await bench.push.run(bench.review_id)
        async with bench.database.writing() as session:
            await repository.set_review(session, bench.review_id, state=ReviewState.OPEN)
        yield bench, fake


async def begun(bench: Bench, asking: Awaitable[Any], num_waiting: int = 1) -> "asyncio.Future[Any]":
    """The work on PostgreSQL once it is done, or so many wait for transactions of somebody else."""
    task = asyncio.ensure_future(asking)
    async with asyncio.timeout(60):
        waits = False
        while not waits and not task.done():
            async with bench.database.reading() as session:
                waits = (await session.scalar(text(_WAITING)) or 0) >= num_waiting
    return task
