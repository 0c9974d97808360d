"""Jobs from HTTP to a registered dataset, on the service's own Ray: run, watched, killed, cancelled."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from factories import encode, make_boxes, make_image
from running_service import Running, make_settings, run_app

from fo1_data.dataset.reader import open_dataset

# A busy machine takes long to load a model; a calm one a few seconds.
WITHIN_S = 280


def write_corpus(folder: Path, count: int) -> Path:
    """`count` small images with two boxes each."""
    folder.mkdir(parents=True)
    lines = []
    for seed in range(count):
        boxes = make_boxes(2, seed=seed)
        (folder / f"{seed:03d}.png").write_bytes(encode(make_image(seed, boxes=boxes)))
        regions = [{"box_xyxy": box, "label": "thing"} for box in boxes]
        lines.append(json.dumps({"image": f"{seed:03d}.png", "width": 64, "height": 48, "regions": regions}))
    (folder / "annotations.jsonl").write_text("\n".join(lines))
    return folder / "annotations.jsonl"


async def until(service: Running, job_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The job once it is as wanted."""
    job: dict[str, Any] = {}
    try:
        async with asyncio.timeout(WITHIN_S):
            while True:
                job = (await service.client.get(f"/v1/jobs/{job_id}")).json()
                if holds(job):
                    return job
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"never came to be: {job}") from None


def ended(job: dict[str, Any]) -> bool:
    return job["state"] in ("succeeded", "failed", "cancelled")


def drivers_of(job_id: str) -> list[psutil.Process]:
    """The processes that label for a job."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("FO1_JOB_ID") == job_id and "fo1_data.cli.main" in process.cmdline():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_jobs_live_through_what_happens_to_them(tmp_path: Path, home: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", 6)
    many = write_corpus(tmp_path / "many", 400)
    settings = make_settings(home)
    body = {
        "corpus": str(corpus),
        "out": str(tmp_path / "out"),
        "labels": ["brief_caption"],
        "proposals": "corpus",
    }
    try:
        async with run_app(settings) as service:
            answer = await service.client.post("/v1/jobs", json={**body, "limit": 4})
            assert answer.status_code == 201, answer.text
            job = await until(service, answer.json()["id"], ended)
            assert (job["state"], job["error"]) == ("succeeded", None)
            assert job["counts"]["images"] == 4
            assert job["counts"]["captions"] == 8
            row = next(open_dataset(job["out"]).rows())
            assert row.provenance.job_id == job["id"]
            dataset = (await service.client.get(f"/v1/datasets/{job['dataset']}")).json()
            assert dataset["address"] == str(tmp_path / "out")
            await _events_tell_it(service.client, job["id"])

            # The service goes away in mid-job, and comes back.
            long = await service.client.post(
                "/v1/jobs",
                json={**body, "corpus": str(many), "out": str(tmp_path / "long"), "shard_size": 4},
            )
            at_work = await until(
                service, long.json()["id"], lambda job: (job["progress"] or {}).get("images", 0) > 0
            )
            assert at_work["state"] == "running"
            use = await (await service.context.cluster.jobs(start=False)).use_by(f"{at_work['id']}-1")
            assert use is not None
            assert use.workers.get("ALIVE", 0) >= 1
            assert all(0 < node.memory_used < node.memory_total for node in use.nodes)
        async with run_app(settings) as service:
            job = await until(
                service, at_work["id"], lambda job: job["progress"]["images"] > at_work["progress"]["images"]
            )
            assert (job["state"], job["attempt"]) == ("running", 1)

            # Its driver is killed: it fails, with the reason, and is resumed.
            for process in drivers_of(job["id"]):
                os.kill(process.pid, signal.SIGKILL)
            failed = await until(service, job["id"], ended)
            assert failed["state"] == "failed"
            assert "signal 9" in failed["error"]
            resumed = await service.client.post(f"/v1/jobs/{job['id']}/resume")
            assert resumed.status_code == 202
            again = await until(
                service,
                job["id"],
                lambda job: job["state"] == "running" and job["progress"]["state"] == "running",
            )
            assert again["attempt"] == 2

            # Cancelled: driver and labellers are gone.
            cancelled = await service.client.post(f"/v1/jobs/{job['id']}/cancel")
            assert cancelled.status_code == 202
            job = await until(service, job["id"], ended)
            assert job["state"] == "cancelled"
            assert drivers_of(job["id"]) == []
            record = service.context.cluster._local.find()
            assert record is not None
        assert not record.is_alive, "an idle Ray outlived the service"
    finally:
        await service.context.cluster.stop_local()


async def _events_tell_it(client: httpx.AsyncClient, job_id: str) -> None:
    answer = await client.get(f"/v1/jobs/{job_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = [
        dict(line.split(": ", 1) for line in block.splitlines())
        for block in answer.text.split("\n\n")
        if block
    ]
    events = [block for block in blocks if "event" in block]
    states = [json.loads(event["data"])["state"] for event in events if event["event"] == "state"]
    assert states == ["queued", "running", "succeeded"]
    last_but_one = events[-2]["id"]
    rest = await client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": last_but_one})
    assert f"id: {events[-1]['id']}" in rest.text
    assert f"id: {last_but_one}" not in rest.text
    over = await client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": events[-1]["id"]})
    assert over.status_code == 204
