"""What the facts say of a job, case by case; and the table of states."""

import io
import json
import tomllib
import zipfile
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from factories import make_dataset, make_row
from hypothesis import given
from hypothesis import strategies as st
from running_service import make_settings, run_app
from sqlalchemy import update

from fo1_data.errors import ClusterError
from schemas.corpus import NOT_KEPT
from schemas.jobs import RunConfig
from schemas.progress import RunProgress
from services.database.models import Job, utc_now
from services.jobs import repository as job_repository
from services.jobs import service as job_service
from services.jobs.ray_jobs import DriverState, RayJobs, RayUnreachable, driver_command, driver_files
from services.jobs.run_folder import FolderNews, read_finished
from services.jobs.run_settings import to_toml
from services.jobs.service import JobNews
from services.jobs.states import TRANSITIONS, JobState, may_become
from services.jobs.verdict import Facts, Verdict, judge_job

LOST_S = 20.0
SILENT = FolderNews(None, None)
ALIVE = FolderNews(RunProgress(images=3), 2.0)
BASE = Facts(JobState.RUNNING, False, DriverState("RUNNING", ""), None, ALIVE, 0.0, False)


def driver(status: str, message: str = "") -> DriverState:
    return DriverState(status, message)


CASES: dict[str, tuple[dict[str, object], JobState, str | None]] = {
    "at work": ({}, JobState.RUNNING, None),
    "begins": ({"state": JobState.QUEUED}, JobState.RUNNING, None),
    "waits": ({"state": JobState.QUEUED, "driver": driver("PENDING")}, JobState.QUEUED, None),
    "done": ({"driver": driver("SUCCEEDED"), "finished": True}, JobState.SUCCEEDED, None),
    "done before it was seen": (
        {"state": JobState.QUEUED, "driver": driver("SUCCEEDED"), "finished": True},
        JobState.SUCCEEDED,
        None,
    ),
    "done without a dataset": ({"driver": driver("SUCCEEDED")}, JobState.FAILED, "no finished dataset"),
    "done where nobody can look": (
        {"driver": driver("SUCCEEDED"), "unread": "the store is away"},
        JobState.RUNNING,
        None,
    ),
    "cancelled where nobody can look": (
        {"driver": driver("SUCCEEDED"), "unread": "the store is away", "cancel_requested": True},
        JobState.CANCELLED,
        None,
    ),
    "done though cancelled": (
        {"driver": driver("SUCCEEDED"), "finished": True, "cancel_requested": True},
        JobState.SUCCEEDED,
        None,
    ),
    "failed with a word": (
        {"driver": driver("FAILED", "exit code 2"), "log": ("noise", "fo1: no corpus at /x", "tail")},
        JobState.FAILED,
        "no corpus at /x",
    ),
    "killed": ({"driver": driver("FAILED", "failed with exit code 137, last")}, JobState.FAILED, "signal 9"),
    "failed without a word": ({"driver": driver("FAILED", "Odd\nmore")}, JobState.FAILED, "Odd"),
    "stopped from here": ({"driver": driver("STOPPED"), "cancel_requested": True}, JobState.CANCELLED, None),
    "failed while ending": ({"driver": driver("FAILED"), "cancel_requested": True}, JobState.CANCELLED, None),
    "stopped by others": ({"driver": driver("STOPPED")}, JobState.FAILED, "not by this service"),
    "forgotten by Ray": ({"driver": None}, JobState.FAILED, "restarted"),
    "cancelled before it began": (
        {"state": JobState.QUEUED, "driver": None, "cancel_requested": True},
        JobState.CANCELLED,
        None,
    ),
    "Ray is silent, the driver is not": (
        {"driver": None, "unreachable": "no Ray", "seen_s_ago": 900.0},
        JobState.RUNNING,
        None,
    ),
    "Ray is silent for a moment": (
        {"driver": None, "unreachable": "no Ray", "folder": SILENT, "seen_s_ago": 5.0},
        JobState.RUNNING,
        None,
    ),
    "all is silent": (
        {"driver": None, "unreachable": "no Ray", "folder": SILENT, "seen_s_ago": 21.0},
        JobState.FAILED,
        "no Ray",
    ),
    "waits for a silent Ray": (
        {
            "state": JobState.QUEUED,
            "driver": None,
            "unreachable": "x",
            "folder": SILENT,
            "seen_s_ago": 900.0,
        },
        JobState.QUEUED,
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_verdict(name: str) -> None:
    changed, state, error = CASES[name]
    verdict = judge_job(replace(BASE, **changed), LOST_S)  # type: ignore[arg-type]
    assert verdict.state is state
    assert (error is None) == (verdict.error is None)
    assert error is None or error in (verdict.error or "")
    assert not verdict.submit


def test_a_failure_names_settings_as_fields_of_the_body() -> None:
    log = ("fo1: no node can place an actor: lower --actors or --cpus-per-actor", "")
    verdict = judge_job(replace(BASE, driver=driver("FAILED"), log=log), LOST_S)
    assert verdict.error == "no node can place an actor: lower actors or cpus_per_actor"


NO_WORD = {
    "an error of its own": httpx.Response(500, text="Traceback\nRuntimeError: GCS is away"),
    "too many requests": httpx.Response(429),
    "no token": httpx.Response(401),
    "another token": httpx.Response(403),
    "elsewhere": httpx.Response(302, headers={"location": "/login"}),
    "a page": httpx.Response(200, text="<html>"),
    "another form": httpx.Response(200, json={"status": None}),
    "a list": httpx.Response(200, json=["RUNNING"]),
}


async def test_an_answer_that_says_nothing_of_a_job_ends_none(tmp_path: Path, home: Path) -> None:
    """Ray's trouble is not the driver's: the job goes on, and fails when neither was heard for long."""
    answers = [httpx.Response(500)]
    ray = RayJobs("http://ray.test", transport=httpx.MockTransport(lambda request: answers[0]))
    settings = make_settings(home, ray_address=ray.address, reconcile_every_s=600, driver_lost_after_s=60)
    async with run_app(settings) as service:
        service.context.cluster._jobs = ray
        async with service.context.database.writing() as session:
            job = await job_service.create(session, RunConfig(corpus="/c", out=str(tmp_path)), "somebody")
            await job_service.apply_news(session, job, JobNews(JobState.RUNNING))
        for name, answers[0] in NO_WORD.items():
            with pytest.raises(RayUnreachable):
                await ray.find("job_0-1")
            await service.context.reconciler._try_reconcile(job.id)
            answer = (await service.client.get(f"/v1/jobs/{job.id}")).json()
            assert answer["state"] == "running", (name, answer)
        async with service.context.database.writing() as session:
            await session.execute(update(Job).values(seen_at=utc_now() - timedelta(seconds=61)))
        await service.context.reconciler._try_reconcile(job.id)
        answer = (await service.client.get(f"/v1/jobs/{job.id}")).json()
        assert answer["state"] == "failed"
        assert "no sign of life" in answer["error"]


async def test_a_resumed_job_has_run_since_it_was_resumed(tmp_path: Path, home: Path) -> None:
    settings = make_settings(home, ray_address="http://127.0.0.1:9", reconcile_every_s=600)
    async with run_app(settings) as service:
        async with service.context.database.writing() as session:
            job = await job_service.create(session, RunConfig(corpus="/c", out=str(tmp_path)), "somebody")
            await job_service.apply_news(session, job, JobNews(JobState.RUNNING))
            job.started_at = utc_now() - timedelta(days=3)
            await job_service.apply_news(session, job, JobNews(JobState.FAILED, "lost"))
            job = await job_service.resume(session, job.project_id, job.id, 10)
            assert job.started_at is None
            await job_service.apply_news(session, job, JobNews(JobState.RUNNING))
        shown = (await service.client.get(f"/v1/jobs/{job.id}")).json()
        started_at = datetime.fromisoformat(shown["started_at"])
        assert (utc_now() - started_at).total_seconds() < 60


async def test_a_folder_that_cannot_be_read_for_a_while_fails_no_job(tmp_path: Path, home: Path) -> None:
    done = httpx.Response(200, json={"status": "SUCCEEDED", "message": ""})
    ray = RayJobs("http://ray.test", transport=httpx.MockTransport(lambda request: done))
    out = tmp_path / "ds"
    make_dataset(out)
    manifest = (out / "manifest.json").rename(tmp_path / "manifest.json")
    (out / "manifest.json").mkdir()  # what cannot be read, even by root
    settings = make_settings(home, ray_address=ray.address, reconcile_every_s=600)
    async with run_app(settings) as service:
        service.context.cluster._jobs = ray
        async with service.context.database.writing() as session:
            job = await job_service.create(session, RunConfig(corpus="/c", out=str(out)), "somebody")
        await service.context.reconciler._try_reconcile(job.id)
        shown = (await service.client.get(f"/v1/jobs/{job.id}")).json()
        assert shown["state"] == "running"
        assert "its folder cannot be read" in shown["waits_for"]
        (out / "manifest.json").rmdir()
        manifest.rename(out / "manifest.json")
        await service.context.reconciler._try_reconcile(job.id)
        shown = (await service.client.get(f"/v1/jobs/{job.id}")).json()
        assert (shown["state"], shown["waits_for"]) == ("succeeded", None)


async def test_no_driver_is_left_of_a_job_that_was_cancelled_while_it_was_submitted(
    tmp_path: Path, home: Path
) -> None:
    """Two processes of the service: the other one has seen that there is no driver yet."""
    asked: list[tuple[str, str]] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path))
        if request.method == "POST" and request.url.path == "/api/jobs/":
            async with service.context.database.writing() as session:
                await job_service.cancel(session, "prj_default", job.id)
                locked = await job_repository.lock_job(session, job.id)
                assert locked is not None
                await job_service.apply_news(session, locked, JobNews(JobState.CANCELLED))
        return httpx.Response(404 if request.method == "GET" else 200, json={})

    ray = RayJobs("http://ray.test", transport=httpx.MockTransport(answer))
    async with run_app(make_settings(home, ray_address=ray.address, reconcile_every_s=600)) as service:
        service.context.cluster._jobs = ray
        async with service.context.database.writing() as session:
            job = await job_service.create(session, RunConfig(corpus="/c", out=str(tmp_path)), "somebody")
        await service.context.reconciler._try_reconcile(job.id)
        assert (await service.client.get(f"/v1/jobs/{job.id}")).json()["state"] == "cancelled"
        assert asked[-1] == ("POST", f"/api/jobs/{job.id}-1/stop")


async def test_that_ray_is_silent_is_logged_once_for_all_jobs_that_wait(
    tmp_path: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Though it answers one question (it knows no such driver) and is silent at the next (start it)."""
    answers = {"POST": httpx.Response(500, text="GCS is away"), "GET": httpx.Response(404)}
    answers["PUT"] = httpx.Response(200)
    ray = RayJobs("http://ray.test", transport=httpx.MockTransport(lambda request: answers[request.method]))
    settings = make_settings(home, ray_address=ray.address, reconcile_every_s=600)
    async with run_app(settings) as service:
        service.context.cluster._jobs = ray
        async with service.context.database.writing() as session:
            for number in range(3):
                config = RunConfig(corpus="/c", out=str(tmp_path / str(number)))
                await job_service.create(session, config, "somebody")
        for _ in range(3):
            async with service.context.database.writing() as session:
                await session.execute(update(Job).values(checked_at=None))
            await service.context.reconciler.step()
        messages = [record.getMessage() for record in caplog.records if "jobs wait" in record.getMessage()]
        assert len(messages) == 1
        answers["POST"] = httpx.Response(200, json={"submission_id": "x"})
        async with service.context.database.writing() as session:
            await session.execute(update(Job).values(checked_at=None))
        await service.context.reconciler.step()
        assert len([record for record in caplog.records if "jobs wait" in record.getMessage()]) == 1


async def test_a_driver_is_refused_by_rays_word_alone() -> None:
    answers = {"POST": httpx.Response(500, text="RuntimeError"), "GET": httpx.Response(404)}
    ray = RayJobs("http://ray.test", transport=httpx.MockTransport(lambda request: answers[request.method]))
    with pytest.raises(RayUnreachable):
        await ray.submit("job_0-1", "true", {}, {})
    answers["POST"] = httpx.Response(400, text="runtime_env is not valid")
    with pytest.raises(ClusterError, match="runtime_env is not valid") as refused:
        await ray.submit("job_0-1", "true", {}, {})
    assert not isinstance(refused.value, RayUnreachable)
    await ray.close()


def test_a_driver_that_ray_has_not_seen_is_submitted() -> None:
    assert judge_job(replace(BASE, state=JobState.QUEUED, driver=None), LOST_S).submit


@given(st.sampled_from(list(JobState)), st.sampled_from(list(JobState)))
def test_an_end_is_left_by_resuming_alone(old: JobState, new: JobState) -> None:
    if old.is_end and may_become(old, new):
        assert new is JobState.QUEUED
        assert old is not JobState.SUCCEEDED
    assert set(TRANSITIONS) == set(JobState)


VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))),
)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), VALUES))
def test_settings_come_back_from_toml(settings: dict[str, object]) -> None:
    import tomllib

    assert tomllib.loads(to_toml(settings)) == settings


@pytest.mark.parametrize("words", [["'; touch /tmp/x; echo $(id) `id`\nEOF\nid\n"], ["word"] * 100_000])
async def test_settings_travel_in_a_file_whatever_they_hold(words: list[str]) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    ray = RayJobs("http://ray.test", transport=httpx.MockTransport(answer))
    settings = {"corpus": "/c", "out": "/o", "vocabulary": words}
    for _ in range(2):
        await ray.submit("job-1", driver_command("python"), {}, {}, driver_files(settings))
    upload, submission, again, _ = sent
    assert (upload.method, upload.url) == ("PUT", again.url), "equal settings are one package"
    body = json.loads(submission.content)
    assert body["runtime_env"]["working_dir"] == f"gcs://{upload.url.path.rpartition('/')[2]}"
    assert body["entrypoint"] == "python -m fo1_data.cli.main label --config run.toml --json"
    with zipfile.ZipFile(io.BytesIO(upload.content)) as package:
        assert tomllib.loads(package.read("run.toml").decode()) == settings


async def test_a_job_forgets_the_address_of_a_hidden_corpus_once_it_has_succeeded(
    tmp_path: Path, home: Path
) -> None:
    """A failed job keeps it, because it is resumed by it."""
    settings = make_settings(home, reconcile_every_s=600)
    async with run_app(settings) as service:
        for end in (JobState.FAILED, JobState.SUCCEEDED):
            out = str(tmp_path / end)
            make_dataset(Path(out), [make_row()])
            manifest = read_finished(out)
            assert manifest is not None
            hidden = manifest.model_copy(update={"config": manifest.config | {"corpus": NOT_KEPT}})
            async with service.context.database.writing() as session:
                job = await job_service.create(session, RunConfig(corpus="/Doe", out=out), "somebody")
                await job_service.apply_news(session, job, JobNews(JobState.RUNNING))
            await service.context.reconciler._store(job, BASE, Verdict(end), hidden, None)
            answer = (await service.client.get(f"/v1/jobs/{job.id}")).json()
            assert answer["state"] == end
            assert answer["config"]["corpus"] == ("/Doe" if end is JobState.FAILED else NOT_KEPT)
