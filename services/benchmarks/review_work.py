"""The steps of the measurement: the service's work on a review, and the annotators' part."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import AsyncSession

from fo1_data.dataset.manifest import read_manifest
from fo1_data.storage.store import open_store
from schemas.reviews import ItemState, ReviewOptions, ReviewState
from services.app import create_app
from services.benchmarks.made_up_reviews import make_dataset
from services.benchmarks.review_place import Place
from services.database.engine import open_database
from services.database.migrate import migrate
from services.database.review_tables import Review, ReviewedAnnotation
from services.datasets import registry
from services.label_studio.client import LabelStudio
from services.label_studio.connection import LabelStudioLost
from services.review import (
    annotation_repository,
    correction_repository,
    item_repository,
    repository,
    service,
)
from services.review.inbox.pull import Pull
from services.review.outbox.push import Push


@asynccontextmanager
async def _reading(place: Place) -> AsyncIterator[AsyncSession]:
    database = open_database(place.settings())
    try:
        async with database.reading() as session:
            yield session
    finally:
        await database.dispose()


async def write_dataset(out: Path, count: int, seed: int) -> None:
    """Write a finished dataset of generated rows."""
    make_dataset(out, count, seed)


async def create_review(place: Place, dataset: Path) -> str:
    """Register a dataset and request its review; return the review's id."""
    settings = place.settings()
    database = open_database(settings)
    await migrate(database)
    async with database.writing() as session:
        record = await registry.register(session, str(dataset), read_manifest(open_store(str(dataset))))
        review = await service.request_push(session, settings, record, None, ReviewOptions())
    await database.dispose()
    return review.id


async def push_all(place: Place, review: str, batch_items: int) -> None:
    """Push a review until it is open."""
    database = open_database(place.settings())

    async def image_urls(row: Review) -> Callable[[str], str]:
        return lambda image_id: f"http://127.0.0.1:1/v1/images/{image_id}?grant={row.id}&signature={'0' * 64}"

    async with LabelStudio(place.url, place.token) as client:
        push = Push(database, client, image_urls, lambda review_id: None, batch_items=batch_items)
        while (await review_of(place, review)).state != ReviewState.OPEN:
            try:
                await push.run(review)
            except LabelStudioLost:
                await asyncio.sleep(0.5)
    await database.dispose()


async def pull_changed(place: Place, review: str) -> None:
    """Pull the changes of a review."""
    database = open_database(place.settings())
    async with LabelStudio(place.url, place.token) as client:
        await Pull(database, client).pull_changes(review)
    await database.dispose()


async def review_of(place: Place, review: str) -> Review:
    """Return a review as it is now."""
    async with _reading(place) as session:
        row = await repository.find_review(session, review)
    assert row is not None
    return row


async def count_corrections(place: Place, review: str) -> int:
    """Return the number of corrections of a review."""
    async with _reading(place) as session:
        return sum((await correction_repository.count_corrections(session, review)).values())


async def annotations_of(place: Place, review: str) -> list[int]:
    """Return the ids in Label Studio of the stored annotations of a review."""
    async with _reading(place) as session:
        items = await item_repository.items_in_state(session, review, ItemState.SENT, 1_000_000)
        annotations: list[ReviewedAnnotation] = []
        for begin in range(0, len(items), 500):
            ids = [item.id for item in items[begin : begin + 500]]
            annotations += await annotation_repository.annotations_of_items(session, ids)
    return [row.ls_annotation_id for row in annotations]


async def keys_in(place: Place, project: int) -> list[str]:
    """Return the key of every task of a project, duplicates included."""
    async with LabelStudio(place.url, place.token) as client:
        return [task.key for task in await client.all_tasks(project)]


async def annotate(place: Place, project: int, count: int, skip: int = 0) -> list[int]:
    """Submit the predictions of `count` LsTasks of a project after the first `skip`; return their ids."""
    headers = {"Authorization": f"Token {place.token}"}
    async with httpx.AsyncClient(base_url=place.url, headers=headers, timeout=120) as http:
        query: dict[str, Any] = {
            "project": project,
            "page_size": count,
            "page": skip // count + 1,
            "fields": "all",
        }
        answer = await http.get("/api/tasks", params={**query, "include": "id,predictions,result"})
        tasks = answer.raise_for_status().json()["tasks"]
        for task in tasks:
            body = {"result": task["predictions"][0]["result"], "lead_time": 5.0}
            (await http.post(f"/api/tasks/{task['id']}/annotations/", json=body)).raise_for_status()
    return [int(task["id"]) for task in tasks]


async def serve(place: Place) -> None:
    """Run the service without a socket."""
    app = create_app(place.settings())
    async with app.router.lifespan_context(app):
        await asyncio.Event().wait()
