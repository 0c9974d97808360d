"""Streams of events: what they send, when they end, what many cost; and how many jobs there may be."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from running_service import Running, make_settings, run_app
from sqlalchemy import event

from schemas.jobs import RunConfig
from services.jobs import repository, service
from services.jobs.service import JobNews
from services.jobs.states import JobState
from services.security.keys import Scope, create_key, revoke_key

WITHIN_S = 60.0
NO_RAY = "http://127.0.0.1:9"


async def new_job(running: Running, tmp_path: Path, name: str = "out") -> str:
    (tmp_path / "corpus").mkdir(exist_ok=True)
    job = {"corpus": str(tmp_path / "corpus"), "out": str(tmp_path / name)}
    answer = await running.client.post("/v1/jobs", json=job)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def add_news(running: Running, job_id: str, *news: JobNews) -> None:
    async with running.context.database.writing() as session:
        for item in news:
            job = await repository.lock_job(session, job_id)
            assert job is not None
            await service.apply_news(session, job, item)


async def add_progress(running: Running, job_id: str, images: range) -> None:
    async with running.context.database.writing() as session:
        job = await repository.lock_job(session, job_id)
        assert job is not None
        for at in images:
            repository.add_event(session, job, "progress", {"images": at})


def events_of(answer: httpx.Response) -> list[tuple[int, str, dict[str, Any]]]:
    events = []
    for block in answer.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            events.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return events


async def open_streams(running: Running, number: int) -> None:
    async with asyncio.timeout(WITHIN_S):
        while running.context.events.num_streams != number:
            await asyncio.sleep(0.01)


async def test_the_progress_of_jobs_that_work_in_turn_is_spread_evenly(
    home: Path, database_url: str | None
) -> None:
    async with run_app(make_settings(home, database_url=database_url, ray_address=NO_RAY)) as running:
        async with running.context.database.writing() as session:
            jobs = [
                await service.create(session, RunConfig(corpus="/c", out=f"/o{number}"), "somebody")
                for number in range(2)
            ]
            for images in range(40):
                for job in jobs:
                    repository.add_event(session, job, "progress", {"images": images})
                    await session.flush()
        async with running.context.database.reading() as session:
            for job in jobs:
                told = await repository.progress_over_time(session, job.id, 25)
                assert [images for _, images in told] == list(range(0, 40, 2))
                every = await repository.progress_over_time(session, job.id, 40)
                assert len(every) == 40
                assert all(at.tzinfo is not None for at, _ in told)


async def test_every_stream_has_every_event_in_order(
    tmp_path: Path, home: Path, database_url: str | None
) -> None:
    settings = make_settings(home, database_url=database_url, ray_address=NO_RAY)
    async with run_app(settings) as running:
        job_id = await new_job(running, tmp_path)
        path = f"/v1/jobs/{job_id}/events"
        await add_progress(running, job_id, range(300))
        early = [asyncio.create_task(running.client.get(path)) for _ in range(3)]
        await open_streams(running, 3)
        await add_progress(running, job_id, range(300, 850))
        late = asyncio.create_task(running.client.get(path))
        await open_streams(running, 4)
        await add_news(running, job_id, JobNews(JobState.RUNNING), JobNews(JobState.FAILED, "made up"))
        async with asyncio.timeout(WITHIN_S):
            answers = [events_of(answer) for answer in await asyncio.gather(*early, late)]
        assert all(answer == answers[0] for answer in answers)
        ids = [event_id for event_id, _, _ in answers[0]]
        assert ids == sorted(set(ids))
        images = [data["images"] for _, kind, data in answers[0] if kind == "progress"]
        assert images == list(range(850))
        assert answers[0][-1][2]["state"] == "failed"
        rest = await running.client.get(path, headers={"Last-Event-ID": str(ids[-3])})
        assert [event_id for event_id, _, _ in events_of(rest)] == ids[-2:]
        over = await running.client.get(path, headers={"Last-Event-ID": str(ids[-1])})
        assert over.status_code == 204
        assert running.context.events.num_streams == 0


async def test_a_stream_ends_when_its_key_is_revoked(
    tmp_path: Path, home: Path, database_url: str | None
) -> None:
    settings = make_settings(home, database_url=database_url, ray_address=NO_RAY)
    async with run_app(settings) as running:
        path = f"/v1/jobs/{await new_job(running, tmp_path)}/events"
        async with running.context.database.writing() as session:
            key = await create_key(session, [Scope.READ])
        asked = running.client.get(path, headers={"Authorization": f"Bearer {key.key}"})
        stream = asyncio.create_task(asked)
        other = asyncio.create_task(running.client.get(path))
        await open_streams(running, 2)
        async with running.context.database.writing() as session:
            await revoke_key(session, key.id)
        async with asyncio.timeout(3):
            assert (await stream).status_code == 200
        assert not other.done()
        running.context.events.close()
        async with asyncio.timeout(3):
            await other


async def test_a_key_has_so_many_streams(tmp_path: Path, home: Path) -> None:
    async with run_app(make_settings(home, ray_address=NO_RAY, max_streams_per_key=2)) as running:
        path = f"/v1/jobs/{await new_job(running, tmp_path)}/events"
        streams = [asyncio.create_task(running.client.get(path)) for _ in range(2)]
        await open_streams(running, 2)
        refused = await running.client.get(path)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
        streams[0].cancel()
        await open_streams(running, 1)
        third = asyncio.create_task(running.client.get(path))
        await open_streams(running, 2)
        running.context.events.close()
        async with asyncio.timeout(3):
            await asyncio.gather(streams[1], third)


@pytest.mark.parametrize("num_streams", [1, 60])
async def test_the_database_is_asked_as_often_for_many_streams(
    tmp_path: Path, home: Path, num_streams: int
) -> None:
    async with run_app(make_settings(home, ray_address=NO_RAY)) as running:
        path = f"/v1/jobs/{await new_job(running, tmp_path)}/events"
        streams = [asyncio.create_task(running.client.get(path)) for _ in range(num_streams)]
        await open_streams(running, num_streams)
        statements: list[str] = []
        looks = running.context.events
        await looks.look()
        event.listen(
            running.context.database.reader, "before_cursor_execute", lambda *call: statements.append(call[2])
        )
        looks.loop.end()
        await looks.look()
        assert 0 < len(statements) <= 6
        running.context.events.close()
        async with asyncio.timeout(3):
            await asyncio.gather(*streams)


async def test_jobs_and_labellers_have_limits(tmp_path: Path, home: Path) -> None:
    settings = make_settings(
        home, ray_address=NO_RAY, max_jobs=2, max_actors_per_job=4, min_cpus_per_actor=0.5
    )
    async with run_app(settings) as running:
        first = await new_job(running, tmp_path, "first")
        await new_job(running, tmp_path, "second")
        job = {"corpus": str(tmp_path / "corpus"), "out": str(tmp_path / "third")}
        full = await running.client.post("/v1/jobs", json=job)
        assert (full.status_code, full.headers["Retry-After"]) == (429, "60")
        excess = await running.client.post("/v1/jobs", json={**job, "actors": "1:5", "cpus_per_actor": 0.4})
        assert excess.status_code == 422
        assert [error["field"] for error in excess.json()["errors"]] == ["actors", "cpus_per_actor"]
        await add_news(running, first, JobNews(JobState.FAILED, "made up"))
        assert (await running.client.post("/v1/jobs", json=job)).status_code == 201
        assert (await running.client.post(f"/v1/jobs/{first}/resume")).status_code == 429


async def test_the_oldest_jobs_work_first(tmp_path: Path, home: Path, database_url: str | None) -> None:
    settings = make_settings(home, database_url=database_url, ray_address=NO_RAY)
    async with run_app(settings) as running:
        jobs = [await new_job(running, tmp_path, f"out{at}") for at in range(4)]
        async with running.context.database.reading() as session:
            assert await repository.first_active(session, 2) == set(jobs[:2])
        await add_news(running, jobs[3], JobNews(JobState.RUNNING))
        await add_news(running, jobs[0], JobNews(JobState.FAILED, "made up"))
        async with running.context.database.reading() as session:
            assert await repository.first_active(session, 2) == {jobs[3], jobs[1]}
