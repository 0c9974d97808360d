"""A service behind a socket with made-up datasets, jobs and a review, and Chromium to look at its pages."""

import asyncio
import os
import random
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from factories import make_answer, make_boxes, make_count, make_label, make_region, make_reject, make_row
from factories import make_dataset as write_made_up
from running_service import Running, make_settings, run_app
from test_datasets_api import registered

from schemas.images import ImageRow
from schemas.jobs import RunConfig
from schemas.labels import Decision, LabelKind, strictest
from schemas.reviews import ReviewOptions
from services.app import create_app
from services.database.models import DEFAULT_PROJECT, Job, JobEvent, utc_now
from services.database.review_tables import Review, ReviewItem
from services.datasets.service import get_dataset
from services.jobs import service as job_service
from services.jobs.service import JobNews
from services.jobs.states import JobState

NUM_IMAGES = 36
WAITS_FOR = "no Ray at 127.0.0.1:9 (Connection refused)"
LOG = "checking the settings and listing /data/corpus\nlabelling\n12 of 36 images"


@dataclass(frozen=True)
class Site:
    """Where the service is, its keys by scope, and the ids of what it shows."""

    url: str
    keys: dict[str, str]
    dataset: str
    jobs: dict[str, str]


@contextmanager
def on_a_port(settings: Any) -> Iterator[str]:
    """The application behind a real socket, in a thread."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def open_site(folder: Path) -> Iterator[Site]:
    """The service in `folder`, with 36 images, jobs in every state and a review of twelve images."""
    write_made_up(folder / "street-scenes", shown_rows(folder / "images"), [make_reject()], rows_a_shard=12)
    settings = make_settings(
        folder / "home",
        public_url=None,
        ray_address="http://127.0.0.1:9",
        reconcile_every_s=600,
        driver_lost_after_s=3600,
    )

    async def prepare() -> Site:
        async with run_app(settings) as service:
            dataset = await registered(service, folder / "street-scenes")
            async with service.context.database.writing() as session:
                record = await get_dataset(session, DEFAULT_PROJECT, dataset["id"])
                rules = {"brief_caption": {"told": TOLD}}
                record.manifest = {**record.manifest, "routing": {"rules": rules}}
            jobs = await made_up_jobs(service, folder, dataset["id"])
            await made_up_review(service, folder, dataset["id"])
            return Site("", service.keys, dataset["id"], jobs)

    site = asyncio.run(prepare())
    with on_a_port(settings) as url:
        yield Site(url, site.keys, site.dataset, site.jobs)


def shown_rows(images: Path) -> list[ImageRow]:
    """Rows with captions, phrases, counts and answers, of all decisions, confidences between .02 and 1."""
    rows = []
    for seed in range(NUM_IMAGES):
        draw = random.Random(seed)
        boxes = make_boxes(3 + seed % 6, 320, 240, seed)
        row = make_row(seed, width=320, height=240, boxes=boxes, folder=images)
        row.regions = [
            make_region(row.image_id, index, box, decision=_decision(draw)) for index, box in enumerate(boxes)
        ]
        for region in row.regions:
            label = region.labels[0]
            label.confidence = min(1.0, max(0.02, draw.betavariate(5, 1)))
            if label.decision is Decision.REVIEW:
                label.confidence /= 2
                label.reasons = ["unsure of 'square'", TOLD]
            region.source_label = "car" if region.index % 2 else "person"
        row.caption = f"scene number{seed} seen from above"
        row.split = "validation" if seed % 4 == 0 else "train"
        row.counts = [make_count(row.regions)] if seed % 3 else []
        answer = make_answer(row.regions[1].region_id)
        answer.question = "What colour is {region}?"
        row.answers = [answer]
        row.groundings[0].label = make_label(LabelKind.GROUND, "a red square", Decision.ACCEPT, 0.9)
        row.decision = strictest(label.decision for label in row.all_labels())
        rows.append(row)
    return rows


TOLD = (
    "nothing can be accepted at error 0.1: of the surest 116 held-out labels 9 are wrong: judge more images"
)


def _decision(draw: random.Random) -> Decision:
    return draw.choices([Decision.ACCEPT, Decision.AUDIT, Decision.REVIEW], [20, 1, 2])[0]


async def made_up_jobs(service: Running, folder: Path, dataset: str) -> dict[str, str]:
    """A job in each state, one of them without a labelled image; their ids by name."""
    async with service.context.database.writing() as session:

        async def add(name: str, news: list[JobNews]) -> Job:
            config = RunConfig(corpus=f"{folder}/corpora/{name}", out=f"{folder}/datasets/run-of-{name}")
            job = await job_service.create(session, config, (await _first_key(service)))
            for item in news:
                await job_service.apply_news(session, job, item)
            return job

        progress = {"images": 12, "images_total": 36, "regions": 80, "seconds_left": 61.0, "rejected": 1,
                    "images_per_s": 1.5, "regions_per_s": 9.0}  # fmt: skip
        counts = {"images": 36, "regions": 198, "rejected": 1, "accepted": 160, "audit": 9, "review": 29}
        running = JobNews(JobState.RUNNING)
        done = [running, JobNews(JobState.SUCCEEDED, counts=counts, dataset_id=dataset)]
        empty = [running, JobNews(JobState.SUCCEEDED, counts={"images": 0, "rejected": 6})]
        jobs = {
            "succeeded": await add("succeeded", done),
            "rejected": await add("rejected", empty),
            "failed": await add("failed", [running, JobNews(JobState.FAILED, "no corpus at <b>here</b>")]),
            "cancelled": await add("cancelled", [running, JobNews(JobState.CANCELLED)]),
            "waiting": await add("waiting", [JobNews(JobState.QUEUED, waits_for=WAITS_FOR)]),
            "running": await add("running", [running]),
        }
        begun = utc_now() - timedelta(minutes=20)
        jobs["running"].started_at = begun
        jobs["running"].progress, jobs["running"].counts = progress, {**counts, "images": 12, "regions": 80}
        for minute in range(20):
            images = round(minute * 0.6 + (minute > 9) * (minute - 9) * 0.5)
            session.add(
                JobEvent(
                    job_id=jobs["running"].id,
                    kind="progress",
                    data={**progress, "images": images},
                    at=begun + timedelta(minutes=minute),
                )
            )
        jobs["failed"].log_tail = LOG
        await session.flush()
        return {name: job.id for name, job in jobs.items()}


async def _first_key(service: Running) -> str:
    return service.keys["label"].split("_")[1]


async def made_up_review(service: Running, folder: Path, dataset: str) -> None:
    """A review of twelve images, of which six are reviewed."""
    async with service.context.database.writing() as session:
        review = Review(
            id="rev_0123456789abcdef", key="0123456789abcdef", dataset_id=dataset,
            dataset=str(folder / "street-scenes"), title="street-scenes 1", state="open", doubtful=False,
            label_studio_url="http://label-studio.test", project_id=3, model_version="fo1-tiny",
            options=ReviewOptions(),
        )  # fmt: skip
        session.add(review)
        await session.flush()
        for number in range(12):
            session.add(
                ReviewItem(
                    review_id=review.id,
                    image_id=f"{number:064d}",
                    fo1_key=f"key-{number}",
                    lane="review",
                    doubt=0.5,
                    state="sent",
                    rule="single" if number < 6 else None,
                    shown=b"",
                )
            )


@contextmanager
def chromium_page(site: Site, scope: str = "admin", **options: Any) -> Iterator[Any]:
    """A page of Chromium that is logged in. Fails at the end if the browser's console has errors."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(**{"viewport": {"width": 1366, "height": 768}, **options})
        faults: list[str] = []
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.set_default_timeout(60_000)
        log_in(page, site, scope)
        yield page
        browser.close()
    assert faults == []


def log_in(page: Any, site: Site, scope: str = "admin") -> None:
    """Log in with the key of a scope."""
    page.goto(f"{site.url}/login")
    page.locator("[name=key]").fill(site.keys[scope])
    page.keyboard.press("Enter")
    page.locator("nav[aria-label=Pages]").wait_for()


def chromium() -> str:
    """Where Chromium is. Skips the test without one; fails it in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is not installed: apt-get install chromium")
        pytest.skip("no Chromium")
    return found
