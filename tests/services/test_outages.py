"""What is around the service fails and comes back: 503, one line in the log, nothing lost."""

import asyncio
import errno
import logging
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from postgres_server import PostgresServer
from running_service import Running, make_settings, run_app
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from test_dashboard import log_in

from schemas.jobs import RunConfig
from services.database.models import Job, JobEvent, utc_now
from services.database.outages import outage_reason
from services.database.queue_figures import read_queues
from services.jobs import service as job_service
from services.jobs.service import JobNews
from services.jobs.states import JobState

NO_RAY = "http://127.0.0.1:9"
WITHIN_S = 30.0


async def post_job(running: Running, folder: Path, name: str) -> int:
    """Ask for a job that can be asked for again; return the status of the answer."""
    job = {"corpus": str(folder / "corpus"), "out": str(folder / name)}
    headers = {"Idempotency-Key": name}
    answer = await running.client.post("/v1/jobs", json=job, headers=headers)
    if answer.status_code == 503:
        assert answer.headers["Retry-After"] == "5"
        assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status_code


async def is_ready(running: Running) -> None:
    async with asyncio.timeout(WITHIN_S):
        while (await running.client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.05)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The log of the service, without what it says of Ray."""
    records = [record for record in caplog.records if record.name == "fo1.service"]
    assert not [record for record in records if record.exc_info]
    return [record.getMessage() for record in records if "Ray" not in record.getMessage()]


async def test_a_database_that_is_stopped_and_started(
    tmp_path: Path,
    home: Path,
    postgres_server: PostgresServer,
    postgres_database: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "corpus").mkdir()
    caplog.set_level(logging.WARNING)
    settings = make_settings(home, database_url=postgres_database, ray_address=NO_RAY)
    async with run_app(settings) as running, log_in(running) as browser:
        assert await post_job(running, tmp_path, "before") == 201
        await asyncio.to_thread(postgres_server.stop)
        try:
            for _ in range(3):
                assert await post_job(running, tmp_path, "during") == 503
                assert (await running.client.get("/v1/jobs")).status_code == 503
            assert (await browser.get("/")).status_code == 503
            ready = await running.client.get("/readyz")
            assert (ready.status_code, ready.headers["Retry-After"]) == (503, "5")
            assert "the database" in ready.json()["detail"]
            assert (await running.client.get("/healthz")).status_code == 200
            assert (await running.client.get("/metrics")).status_code == 200
        finally:
            await asyncio.to_thread(postgres_server.start)
        assert await post_job(running, tmp_path, "during") == 201
        assert await post_job(running, tmp_path, "during") == 201
        jobs = (await running.client.get("/v1/jobs")).json()["items"]
        assert [Path(job["out"]).name for job in jobs] == ["during", "before"]
    told = lines(caplog)
    assert 1 <= len(told) <= 2, told
    assert "the database" in told[0]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small file system here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_disk_that_is_full_and_has_room_again(
    tmp_path: Path, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "corpus").mkdir()
    caplog.set_level(logging.WARNING)
    settings = make_settings(small_disk / "home", storage_roots=[str(tmp_path)], ray_address=NO_RAY)
    async with run_app(settings) as running:
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(b"\0" * 4096):
                pass
        names = iter(f"job{at}" for at in range(10_000))
        accepted = []
        for name in names:  # what the database has set aside is used up first
            status = await post_job(running, tmp_path, name)
            if status == 503:
                break
            assert status == 201
            accepted.append(name)
        ready = await running.client.get("/readyz")
        assert ready.status_code == 503
        assert "full" in ready.json()["detail"] or "No space" in ready.json()["detail"]
        assert (await running.client.get("/v1/jobs")).status_code == 200
        filler.unlink()
        assert await post_job(running, tmp_path, name) == 201
        jobs = (await running.client.get("/v1/jobs", params={"limit": 100})).json()["items"]
        newest = [Path(job["out"]).name for job in jobs]
        assert newest == [name, *reversed(accepted)][:100]
    told = lines(caplog)
    assert 1 <= len(told) <= 3, told


async def test_a_home_that_is_read_only(
    tmp_path: Path, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    database = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    settings = make_settings(small_disk / "home", database_url=database, ray_address=NO_RAY)
    async with run_app(settings) as running:
        await is_ready(running)
        for mode in ("ro", "rw"):
            remount = ["mount", "-o", f"remount,{mode}", str(small_disk)]
            subprocess.run(remount, check=True, capture_output=True)
            ready = await running.client.get("/readyz")
            assert ready.status_code == (503 if mode == "ro" else 200)
            if mode == "ro":
                assert "cannot be written: Read-only file system" in ready.json()["detail"]
    assert len(lines(caplog)) == 2


async def test_a_database_that_is_read_only(home: Path) -> None:
    async with run_app(make_settings(home, ray_address=NO_RAY)) as running:
        with pytest.raises(DBAPIError) as caught:
            await running.context.database.read(
                lambda connection: connection.execute(text("DELETE FROM job_events"))
            )
    assert outage_reason(caught.value) == "the database is read-only"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (PoolTimeout("none left"), "every connection to the database is in use"),
        (FileNotFoundError(errno.ENOENT, "No such file"), None),
        (OperationalError("SELECT", {}, sqlite3.OperationalError("near SELECT: syntax error")), None),
        (OperationalError("SELECT", {}, psycopg.errors.DiskFull("full")), "the disk of the database is full"),
        (OperationalError("SELECT", {}, psycopg.OperationalError("lost")), "the database does not answer"),
        (ProgrammingError("SELECT", {}, psycopg.errors.UndefinedTable("no table")), None),
    ],
)
def test_what_is_down_is_known_by_the_error(error: Exception, reason: str | None) -> None:
    assert outage_reason(error) == reason


async def test_a_resumed_job_waits_since_it_was_resumed(home: Path, database_url: str | None) -> None:
    settings = make_settings(home, database_url=database_url, ray_address=NO_RAY)
    async with run_app(settings) as running:
        async with running.context.database.writing() as session:
            job = await job_service.create(session, RunConfig(corpus="/c", out="/o"), "somebody")
            await job_service.apply_news(session, job, JobNews(JobState.FAILED, "lost"))
            long_ago = utc_now() - timedelta(days=3)
            await session.execute(update(Job).values(created_at=long_ago))
            await session.execute(update(JobEvent).values(at=long_ago))
            await job_service.resume(session, job.project_id, job.id, 10)
        figures = await running.context.database.read(read_queues)
        assert (figures.sizes["jobs"], figures.ages_s["jobs"] < 60) == (1, True)


async def test_the_metrics_tell_of_queues_loops_and_the_process(
    tmp_path: Path, home: Path, database_url: str | None
) -> None:
    (tmp_path / "corpus").mkdir()
    settings = make_settings(home, database_url=database_url, ray_address=NO_RAY)
    async with run_app(settings) as running:
        assert await post_job(running, tmp_path, "out") == 201
        told = (await running.client.get("/metrics")).text
    for line in (
        'fo1_queue_size{queue="jobs"} 1.0',
        'fo1_queue_age_seconds{queue="webhooks"} 0.0',
        'fo1_review_items{state="waiting"} 0.0',
        "fo1_down 0.0",
    ):
        assert line in told
    for name in ("process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"):
        assert f"\n{name} " in told
    for loop in ("jobs", "datasets", "events", "health"):
        assert f'fo1_loop_age_seconds{{loop="{loop}"}}' in told
