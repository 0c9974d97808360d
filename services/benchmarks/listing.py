"""Measures how fast jobs and samples are listed over HTTP with many regions in the database.

A generated dataset is written into the index by the code that indexes real ones. Then pages are requested
through the whole application (keys, validation, SQL, answer), one after the other, without a socket. The
baseline searches without the index, by reading all documents one by one. Times in milliseconds; processor
time of this process only, without PostgreSQL's.
"""

import json
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import select

from schemas.dataset import Counts, Manifest
from schemas.jobs import RunConfig
from services.context import Context
from services.database.engine import Database
from services.database.migrate import migrate
from services.database.models import DatasetRecord, DatasetState, SampleDocument
from services.datasets import registry, repository
from services.datasets.documents import unpack
from services.datasets.indexer import IndexBatch, Indexed, IndexTerms
from services.jobs import service as job_service
from services.jobs.service import JobNews
from services.jobs.states import JobState
from services.paging import cursor_of
from services.security.keys import Scope, create_key

REGIONS_PER_IMAGE = 10
JOBS = 2_000
_BATCH = 1_000
# Number of different images; the others repeat them in another order.
_DISTINCT = 5_000
_COLOURS = ("red", "green", "blue", "orange", "purple", "teal", "pink", "cyan", "yellow", "black")
_THINGS = (
    "square",
    "circle",
    "triangle",
    "star",
    "heart",
    "ring",
    "cross",
    "bar",
    "cup",
    "car",
    "cat",
    "dog",
)


async def measure_listing(app: FastAPI, num_regions: int, requests: int, seed: int = 0) -> dict[str, Any]:
    """Fill the application's (empty) database and request lists; return the figures of each kind of list."""
    context: Context = app.state.context
    await migrate(context.database)
    filled_s = time.perf_counter()
    number, dataset_id = await _fill(context.database, num_regions // REGIONS_PER_IMAGE, seed)
    filled_s = time.perf_counter() - filled_s
    async with context.database.writing() as session:
        key = await create_key(session, [Scope.READ], "bench")
    headers = {"Authorization": f"Bearer {key.key}"}
    transport = httpx.ASGITransport(app)
    draw = random.Random(seed)
    async with httpx.AsyncClient(transport=transport, base_url="http://bench", headers=headers) as client:
        figures = {
            name: await _timed(lambda get=get: get(client, dataset_id, draw), requests)  # type: ignore[misc]
            for name, get in _LISTS.items()
        }
    return {
        "regions": num_regions,
        "images": num_regions // REGIONS_PER_IMAGE,
        "jobs": JOBS,
        "database": context.database.engine.dialect.name,
        "indexed_images_per_s": round(num_regions / REGIONS_PER_IMAGE / filled_s, 1),
        "lists": figures,
        "baseline": {"samples_by_words_without_index": await _without_index(context.database, number)},
    }


async def _samples(client: httpx.AsyncClient, dataset_id: str, **query: Any) -> None:
    answer = await client.get(f"/v1/datasets/{dataset_id}/samples", params={"limit": 20, **query})
    answer.raise_for_status()


async def _walk(client: httpx.AsyncClient, dataset_id: str, draw: random.Random) -> None:
    await _samples(client, dataset_id, cursor=cursor_of(draw.randrange(10_000)))


async def _decision(client: httpx.AsyncClient, dataset_id: str, draw: random.Random) -> None:
    await _samples(client, dataset_id, decision=draw.choice(["accept", "review", "audit"]))


async def _label(client: httpx.AsyncClient, dataset_id: str, draw: random.Random) -> None:
    label = f"{draw.choice(_COLOURS)} {draw.choice(_THINGS)}"
    await _samples(client, dataset_id, label=label, decision="review")


async def _words(client: httpx.AsyncClient, dataset_id: str, draw: random.Random) -> None:
    words = f"{draw.choice(_COLOURS)} {draw.choice(_THINGS)} place{draw.randrange(1000)}"
    await _samples(client, dataset_id, text=words)


async def _doubtful(client: httpx.AsyncClient, dataset_id: str, draw: random.Random) -> None:
    await _samples(client, dataset_id, order="confidence", decision="review")


async def _confidence(client: httpx.AsyncClient, dataset_id: str, draw: random.Random) -> None:
    await _samples(client, dataset_id, max_confidence=round(draw.uniform(0.0002, 0.2), 4))


async def _jobs(client: httpx.AsyncClient, dataset_id: str, draw: random.Random) -> None:
    answer = await client.get("/v1/jobs", params={"limit": 50, "state": draw.choice(["succeeded", "failed"])})
    answer.raise_for_status()


_LISTS: dict[str, Callable[[httpx.AsyncClient, str, random.Random], Awaitable[None]]] = {
    "samples": _walk,
    "samples_by_decision": _decision,
    "samples_by_label_and_decision": _label,
    "samples_by_words": _words,
    "samples_below_confidence": _confidence,
    "samples_least_sure_first": _doubtful,
    "jobs_by_state": _jobs,
}


async def _timed(request: Callable[[], Awaitable[None]], requests: int) -> dict[str, float]:
    times_ms, cpu_ms = [], []
    for _ in range(requests):
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        await request()
        times_ms.append((time.perf_counter() - started_s) * 1000)
        cpu_ms.append((time.process_time() - started_cpu_s) * 1000)
    times_ms.sort()
    cpu_ms.sort()
    return {
        "requests_per_s": round(1000 / statistics.mean(times_ms), 1),
        "p50_ms": round(statistics.median(times_ms), 2),
        "p99_ms": round(times_ms[int(len(times_ms) * 0.99)], 2),
        # Of this process only, so that a busy machine does not change it.
        "cpu_p99_ms": round(cpu_ms[int(len(cpu_ms) * 0.99)], 2),
    }


async def _without_index(database: Database, number: int) -> dict[str, float]:
    """Search for words once by reading every document."""
    started_s, num_matches = time.perf_counter(), 0
    async with database.reading() as session:
        query = select(SampleDocument.document).where(SampleDocument.dataset == number)
        async for document in await session.stream_scalars(query):
            num_matches += b"no such word" in unpack(document)
    assert num_matches == 0
    return {"p50_ms": round((time.perf_counter() - started_s) * 1000, 1)}


async def _fill(database: Database, num_images: int, seed: int) -> tuple[int, str]:
    counts = Counts(images=num_images, regions=num_images * REGIONS_PER_IMAGE)
    manifest = Manifest(
        name="bench",
        version="1",
        created_at="",
        config={},
        fingerprint="",
        files=[],
        counts=counts,
        code_version="",
    )
    async with database.writing() as session:
        record = await registry.register(session, "/bench", manifest)
        record.indexer, record.state = "bench", DatasetState.READY
    terms = IndexTerms(record.number)
    entries = [Indexed.of(record, terms) for record in _records(min(num_images, _DISTINCT), seed)]
    for start in range(0, num_images, _BATCH):
        batch = IndexBatch()
        for position in range(start, min(start + _BATCH, num_images)):
            batch.add(position, (0, 0, position), entries[position * 7919 % len(entries)])
        async with database.writing() as session:
            await repository.add_samples(session, *batch.rows(record.number))
    async with database.writing() as session:
        await repository.add_terms(session, terms.rows())
        current = await session.get(DatasetRecord, record.number)
        assert current is not None
        current.num_samples = num_images
    await _add_jobs(database)
    return record.number, record.id


async def _add_jobs(database: Database) -> None:
    async with database.writing() as session:
        for at in range(JOBS):
            config = RunConfig(corpus="/bench/corpus", out=f"/bench/{at}")
            job = await job_service.create(session, config, "bench")
            state = JobState.SUCCEEDED if at % 3 else JobState.FAILED
            await job_service.apply_news(session, job, JobNews(state, None if at % 3 else "made up"))


def _records(num_images: int, seed: int) -> Iterator[dict[str, Any]]:
    draw = random.Random(seed)
    for at in range(num_images):
        image_id = f"{draw.getrandbits(256):064x}"
        yield {
            "image_id": image_id,
            "uri": f"/bench/images/{at:07d}.jpg",
            "uris": [f"/bench/images/{at:07d}.jpg"],
            "corpus": "bench",
            "split": "train",
            "width": 1024,
            "height": 768,
            "orientation": 1,
            "caption": f"a scene at place{draw.randrange(1000)}",
            "decision": draw.choices(["accept", "audit", "review"], [90, 2, 8])[0],
            "regions": [_region(image_id, index, draw) for index in range(REGIONS_PER_IMAGE)],
        }


def _region(image_id: str, index: int, draw: random.Random) -> dict[str, Any]:
    text = f"{draw.choice(_COLOURS)} {draw.choice(_THINGS)}"
    x, y = draw.uniform(0, 900), draw.uniform(0, 700)
    label = {
        "kind": "brief_caption",
        "text": text,
        "confidence": draw.random(),
        "decision": "accept",
        "reasons": [],
        "source": "model",
    }
    return {
        "region_id": f"{image_id[:16]}/{index}",
        "index": index,
        "box_xyxy": [round(x, 1), round(y, 1), round(x + 80, 1), round(y + 60, 1)],
        "objectness": 0.5,
        "box_source": "model",
        "brief_caption": text,
        "decision": "accept",
        "labels": [label],
    }


def listing_summary(figures: dict[str, Any]) -> str:
    """Return the figures in a few lines."""
    lines = [f"{figures['regions']} regions on {figures['database']}"]
    for name, times in figures["lists"].items():
        text = f"p99 {times['p99_ms']} ms, {times['cpu_p99_ms']} of CPU"
        lines.append(f"  {name:<32} {times['requests_per_s']:>8} requests/s   {text}")
    return "\n".join(lines)


def make_bench_app(home: Path, database_url: str | None) -> FastAPI:
    """Return an application on an empty home that starts nothing by itself."""
    from services.app import create_app
    from services.settings import Settings

    return create_app(Settings(home=home, database_url=database_url, secret_key=json.dumps("bench" * 4)))  # type: ignore[arg-type]
