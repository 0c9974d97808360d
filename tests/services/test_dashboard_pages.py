"""What the pages say: why a job waits, how a run ended, what is true of all labels, where a link leads."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from dashboard_site import TOLD, Site, open_site
from hypothesis import given
from hypothesis import strategies as st
from running_service import make_settings, run_app
from test_job_verdicts import BASE, driver

from fo1_data.dataset.manifest import dump_json
from schemas.jobs import RunConfig
from schemas.progress import RunProgress, RunState
from services.database.models import Job, utc_now
from services.jobs import service as job_service
from services.jobs.ray_jobs import RayJobs
from services.jobs.run_folder import FolderNews
from services.jobs.speed import MAX_POINTS, speed_over_time
from services.jobs.states import JobState
from services.jobs.waiting import reason_to_wait
from services.rendering import path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("site")) as opened:
        yield opened


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, headers={"Accept": "text/html"}) as opened:
        opened.post("/login", data={"key": site.keys["admin"]})
        yield opened


def test_jobs_are_filtered_by_state_and_named_by_who_started_them(site: Site, client: httpx.Client) -> None:
    everything = client.get("/").text
    failed = client.get("/", params={"state": "failed"}).text
    assert [everything.count('class="row"'), failed.count('class="row"')] == [6, 1]
    assert f"by key {site.keys['label'].split('_')[1]}" in failed
    assert 'hx-get="/parts/jobs?state=failed"' in failed
    assert client.get("/", params={"state": "nonsense"}).text.count('class="row"') == 6


def test_ends_of_runs_are_told_in_words(site: Site, client: httpx.Client) -> None:
    pages = {name: client.get(f"/jobs/{job}").text for name, job in site.jobs.items()}
    assert "Labelled 36 images" in pages["succeeded"]
    assert "all 6 inputs were rejected" in pages["rejected"]
    assert 'class="state succeeded"' not in pages["rejected"]
    assert "before any image was labelled" in pages["cancelled"]
    assert "no corpus at &lt;b&gt;here&lt;/b&gt;" in pages["failed"]
    assert "does not answer" in pages["waiting"]


def test_reviewed_items_are_counted_once(client: httpx.Client) -> None:
    assert "6 of 12 reviewed" in client.get("/reviews").text


def test_a_sample_says_its_own_reasons_and_asks_about_a_region_by_number(
    site: Site, client: httpx.Client
) -> None:
    gallery = client.get(f"/datasets/{site.dataset}", params={"decision": "review"}).text
    page = client.get(f"/datasets/{site.dataset}/samples/{gallery.partition('/samples/')[2][:64]}").text
    assert "unsure of &#39;square&#39;" in page
    assert TOLD not in page
    assert client.get(f"/datasets/{site.dataset}").text.count(TOLD) == 1
    assert "What colour is region 1?" in page
    assert "{region}" not in page


def test_problems_keep_the_navigation_and_a_login_keeps_the_link(site: Site, client: httpx.Client) -> None:
    gone = client.get("/datasets/ds_0")
    assert gone.status_code == 404
    assert 'aria-label="Pages"' in gone.text
    assert 'aria-label="Pages"' in client.get("/docs").text
    with httpx.Client(base_url=site.url, headers={"Accept": "text/html"}) as stranger:
        assert 'aria-label="Pages"' not in stranger.get("/nowhere").text
        view = f"/datasets/{site.dataset}?decision=review&order=confidence"
        login = stranger.get(view).headers["location"]
        to = httpx.URL(login).params["to"]
        assert to == view
        answer = stranger.post("/login", data={"key": site.keys["read"], "to": to})
        assert answer.headers["location"] == view


@pytest.mark.parametrize(
    "address", ["/a/b/c", "s3://bucket/deep/name", "name", "/", "a" * 90, "/x/" + "b" * 90]
)
def test_a_path_is_shown_whole_in_its_title_and_in_its_two_parts(address: str) -> None:
    shown = path(address)
    head, tail = shown.split("<span>")[1:]
    assert f'title="{address}"' in shown
    assert head.removesuffix("</span>") + tail.removesuffix("</span></span>") == address.rstrip("/")
    assert len(tail) < 45


def test_reasons_to_wait() -> None:
    queued = replace(BASE, state=JobState.QUEUED, folder=FolderNews(None, None))
    assert reason_to_wait(replace(queued, unreachable="no Ray")) == "no Ray"
    assert reason_to_wait(replace(queued, driver=None)) == "Ray prepares the driver"
    pending = replace(queued, driver=driver("PENDING", "waiting for\nresources"))
    assert reason_to_wait(pending) == "Ray prepares the driver: waiting for resources"
    begun = replace(BASE, folder=FolderNews(None, None))
    assert reason_to_wait(begun) == "the driver starts"
    log = ("Running entrypoint for job x", "waiting for room: the cluster is busy", "(Labeller pid=3) loaded")
    assert reason_to_wait(replace(begun, log=log)) == "waiting for room: the cluster is busy"
    assert reason_to_wait(BASE) is None


@pytest.mark.parametrize("of_another", [True, False])
async def test_an_earlier_runs_counts_are_not_a_refused_jobs(
    tmp_path: Path, home: Path, of_another: bool
) -> None:
    """The folder holds the progress of an earlier run; the job's driver refuses it and ends."""
    answers = {"/logs": {"logs": "fo1: another run began this folder\n"}}
    ray = RayJobs(
        "http://ray.test",
        transport=httpx.MockTransport(
            lambda request: httpx.Response(
                200,
                json=answers["/logs"] if request.url.path.endswith("/logs") else {"status": "FAILED"},
            )
        ),
    )
    settings = make_settings(home, ray_address=ray.address, reconcile_every_s=600)
    async with run_app(settings) as service:
        service.context.cluster._jobs = ray
        async with service.context.database.writing() as session:
            job = await job_service.create(session, RunConfig(corpus="/c", out=str(tmp_path / "o")), "x")
            job.state = JobState.RUNNING
        progress = RunProgress(
            state=RunState.FAILED,
            images=20,
            updated_at=utc_now().isoformat(),
            job_id="job_other" if of_another else job.id,
        )
        (tmp_path / "o/.run").mkdir(parents=True)
        (tmp_path / "o/.run/progress.json").write_bytes(dump_json(progress.model_dump(mode="json")))
        await service.context.reconciler._try_reconcile(job.id)
        async with service.context.database.reading() as session:
            stored = await session.get(Job, job.id)
        assert stored is not None
        assert (stored.state, stored.error) == ("failed", "another run began this folder")
        assert (stored.counts is None) == of_another
        assert stored.log_tail == "fo1: another run began this folder"


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 9)), max_size=200))
def test_speed_over_time_counts_every_image_once(steps: list[tuple[int, int]]) -> None:
    begun, images, progress = utc_now(), 0, []
    seconds = 0
    for pause_s, labelled in steps:
        seconds, images = seconds + pause_s + 1, images + labelled
        progress.append((begun + timedelta(seconds=seconds), images))
    points = speed_over_time(progress)
    assert len(points) <= MAX_POINTS
    before, total = 0.0, 0.0
    for point in points:
        assert point.seconds > before
        total += point.images_per_s * (point.seconds - before)
        before = point.seconds
    assert total == pytest.approx(images - progress[0][1] if len(progress) > 1 else 0)


def test_a_jobs_speed_and_log_are_parts_of_its_page(site: Site, client: httpx.Client) -> None:
    speed = client.get(f"/parts/jobs/{site.jobs['running']}/speed").text
    assert "<polyline" in speed
    assert "images/s" in speed
    assert "No images labelled yet" in client.get(f"/parts/jobs/{site.jobs['waiting']}/speed").text
    assert "listing /data/corpus" in client.get(f"/parts/jobs/{site.jobs['failed']}/log").text
    assert "No log was kept" in client.get(f"/parts/jobs/{site.jobs['cancelled']}/log").text
    assert "Ray does not say" in client.get(f"/parts/jobs/{site.jobs['running']}/cluster").text
    assert "holds no workers" in client.get(f"/parts/jobs/{site.jobs['failed']}/cluster").text


async def test_workers_and_nodes_are_read_from_rays_own_api() -> None:
    """The answers have the form of Ray 2.60; `test_jobs_on_ray` asks a real one."""
    answers: dict[str, Any] = {
        "/api/jobs/job_0-1": {"driver_info": {"id": "01000000"}},
        "/api/v0/actors": {
            "data": {"result": {"result": [{"state": "ALIVE"}, {"state": "PENDING_CREATION"}]}}
        },
        "/nodes": {
            "data": {
                "summary": [
                    {
                        "hostname": "node",
                        "cpu": 12.5,
                        "mem": [32_000_000_000, 24_000_000_000, 25.0, 8_000_000_000],
                        "gpus": [
                            {"name": "H100", "utilizationGpu": 93, "memoryUsed": 20480, "memoryTotal": 81920}
                        ],
                    },
                    {"hostname": "starting"},
                ]
            }
        },
    }

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answers[request.url.path])

    ray = RayJobs("http://ray.test", transport=httpx.MockTransport(answer))
    use = await ray.use_by("job_0-1")
    assert use is not None
    assert use.workers == {"ALIVE": 1, "PENDING_CREATION": 1}
    assert [(node.name, node.memory_used) for node in use.nodes] == [("node", 8_000_000_000)]
    assert use.nodes[0].gpus == ["H100: 93 %, 20.0 of 80.0 GiB"]
    answers["/nodes"] = {"data": None}
    assert await ray.use_by("job_0-1") is None
    await ray.close()
