"""The dashboard: login, forged forms, pages with data, empty and with an error; and in a real browser."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from dashboard_site import chromium, on_a_port
from factories import make_dataset, make_reject
from running_service import Running, make_settings, run_app
from test_datasets_api import registered, varied_dataset

from schemas.jobs import RunConfig
from services.database.models import Job
from services.jobs import repository as job_repository
from services.jobs import service as job_service
from services.jobs.service import JobNews
from services.jobs.states import JobState
from services.security.keys import Scope, create_key, revoke_key

HTML = {"Authorization": "", "Accept": "text/html"}


@asynccontextmanager
async def log_in(service: Running, scope: str = "admin") -> AsyncIterator[httpx.AsyncClient]:
    """A browser's client that is logged in."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(service.app, raise_app_exceptions=False),
        base_url="http://service.test",
        headers={"Accept": "text/html"},
    ) as client:
        answer = await client.post("/login", data={"key": service.keys[scope], "to": "/datasets"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/datasets")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert service.keys[scope] not in cookie
        yield client


async def a_job(
    service: Running, folder: Path, state: JobState, error: str | None = None, tiles: int = 0
) -> Job:
    """A job that has come to a state. tiles: how many of its nine images are tiles."""
    async with service.context.database.writing() as session:
        config = RunConfig(corpus=str(folder), out=str(folder / f"out-{state}"))
        job = await job_service.create(session, config, "somebody")
        if state is not JobState.QUEUED:
            progress = {
                "images": 3,
                "images_total": 9,
                "tiles_total": tiles,
                "regions": 20,
                "seconds_left": 61.0,
                "state": "running",
            }
            await job_service.apply_news(
                session, job, JobNews(JobState.RUNNING, None, progress, {"images": 3})
            )
            await job_service.apply_news(session, job, JobNews(state, error))
        return job


def token_of(page: str) -> str:
    """The token that a page's forms carry."""
    return page.partition('name="token" value="')[2].partition('"')[0]


async def test_pages_show_what_there_is(tmp_path: Path, home: Path) -> None:
    varied_dataset(tmp_path / "ds")
    settings = make_settings(home, ray_address="http://127.0.0.1:9", reconcile_every_s=600)
    async with run_app(settings) as service, log_in(service) as client:
        empty = [await client.get(path) for path in ("/", "/datasets", "/reviews")]
        assert ["No jobs yet" in empty[0].text, "No datasets yet" in empty[1].text] == [True, True]
        assert "No reviews yet" in empty[2].text
        dataset = await registered(service, tmp_path / "ds")
        failed = await a_job(service, tmp_path, JobState.FAILED, "no corpus at <b>here</b>")
        await a_job(service, tmp_path, JobState.RUNNING)
        jobs = (await client.get("/")).text
        assert "no corpus at &lt;b&gt;here&lt;/b&gt;" in jobs
        assert '<progress max="9" value="3"' in jobs
        assert "3 of 9 images" in jobs
        in_tiles = await a_job(service, tmp_path / "large", JobState.RUNNING, tiles=9)
        assert "3 of 9 tiles" in (await client.get("/")).text
        assert "images of 9" not in (await client.get(f"/jobs/{in_tiles.id}")).text
        async with service.context.database.writing() as session:
            for at in range(1100):  # a long job; its end is what people look for
                job_repository.add_event(session, failed, "progress", {"images": at})
            job_repository.add_event(session, failed, "state", {"state": "resumed at last"})
        page = (await client.get(f"/jobs/{failed.id}")).text
        assert "no corpus at" in page
        assert "resumed at last" in page
        assert "version 1" in (await client.get("/datasets")).text

        gallery = (await client.get(f"/datasets/{dataset['id']}")).text
        assert gallery.count('class="sample points"') == 12
        assert gallery.count('class="box"') == 36
        assert "scene number0 seen from above" in gallery
        only = (await client.get(f"/datasets/{dataset['id']}", params={"text": "number7"})).text
        assert only.count('class="sample points"') == 1
        part = await client.get(f"/parts/datasets/{dataset['id']}/samples", params={"decision": "review"})
        assert part.text.count('class="sample points"') == 4
        assert "decision=review" in part.headers["hx-push-url"]
        nothing = await client.get(f"/datasets/{dataset['id']}", params={"text": "nowhere"})
        assert "No matches" in nothing.text
        image_id = gallery.partition("/samples/")[2][:64]
        detail = (await client.get(f"/datasets/{dataset['id']}/samples/{image_id}")).text
        assert "Next" in detail
        assert detail.count('class="box"') == 3
        assert "Nothing was rejected" in (await client.get(f"/datasets/{dataset['id']}/rejects")).text
        assert "<b>1</b>" in (await client.get(f"/datasets/{dataset['id']}/versions")).text
        gone = await client.get("/datasets/ds_0")
        assert (gone.status_code, gone.headers["content-type"]) == (404, "text/html; charset=utf-8")
        docs = await client.get("/docs")
        assert "/v1/jobs" in docs.text
        assert (await client.get("/static/service.css")).status_code == 200
        for page in (jobs, gallery, detail, docs.text):
            assert " style=" not in page
            assert "onclick" not in page
            assert "https://" not in page.replace("https://htmx.org", "")


async def test_rejects_are_shown_with_their_reasons(tmp_path: Path, home: Path) -> None:
    make_dataset(tmp_path / "ds", rejects=[make_reject(), make_reject("memory://other.png")])
    async with run_app(make_settings(home)) as service, log_in(service, "read") as client:
        dataset = await registered(service, tmp_path / "ds")
        page = (await client.get(f"/datasets/{dataset['id']}/rejects")).text
        assert "memory://other.png" in page
        assert "truncated <b>2</b>" in page
        shutil.rmtree(tmp_path / "ds")
        broken = await client.get(f"/datasets/{dataset['id']}/rejects")
        assert "The rejects cannot be read" in broken.text


async def test_nobody_gets_in_without_a_key_and_forms_are_our_own(tmp_path: Path, home: Path) -> None:
    settings = make_settings(home, ray_address="http://127.0.0.1:9", reconcile_every_s=600)
    async with run_app(settings) as service:
        job = await a_job(service, tmp_path, JobState.RUNNING)
        for path in ("/", "/datasets", "/reviews", f"/jobs/{job.id}"):
            answer = await service.client.get(path, headers=HTML)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/login?to=")
        part = await service.client.get("/parts/jobs", headers={**HTML, "HX-Request": "true"})
        assert part.status_code == 401
        wrong = await service.client.post("/login", data={"key": "fo1_nonsense"}, headers=HTML)
        assert (wrong.status_code, "unknown or revoked" in wrong.text) == (401, True)
        away = await service.client.post(
            "/login", data={"key": service.keys["read"], "to": "//evil.test"}, headers=HTML
        )
        assert away.headers["location"] == "/"

        cancel = f"/jobs/{job.id}/cancel"
        async with log_in(service) as client:
            token = token_of((await client.get(f"/jobs/{job.id}")).text)
            assert (await client.post(cancel)).status_code == 403
            assert (await client.post(cancel, data={"token": "0" * 64})).status_code == 403
            foreign = await client.post(
                cancel, data={"token": token}, headers={"Sec-Fetch-Site": "cross-site"}
            )
            assert foreign.status_code == 403
            async with log_in(service, "read") as reader:
                theirs = token_of((await reader.get(f"/jobs/{job.id}")).text)
                assert (await client.post(cancel, data={"token": theirs})).status_code == 403
                assert (await reader.post(cancel, data={"token": theirs})).status_code == 403
            assert (await client.post(cancel, data={"token": token})).status_code == 303
            assert (await service.client.get(f"/v1/jobs/{job.id}")).json()["cancel_requested"]
            async with service.context.database.writing() as session:
                key = await create_key(session, [Scope.READ])
            service.keys["passing"] = key.key
            async with log_in(service, "passing") as passing:
                assert (await passing.get("/")).status_code == 200
                async with service.context.database.writing() as session:
                    await revoke_key(session, key.id)
                assert (await passing.get("/")).status_code == 303
            stolen = dict(client.cookies)
            async with log_in(service) as same_key:
                await client.post("/logout", data={"token": token})
                assert (await client.get("/")).status_code == 303
                client.cookies.update(stolen)
                assert (await client.get("/")).status_code == 303, "a copy of the cookie outlived the login"
                assert (await client.post(cancel, data={"token": token})).status_code == 303
                assert (await same_key.get("/")).status_code == 200


def test_a_person_finds_an_image_by_keyboard(tmp_path: Path, home: Path) -> None:
    executable = chromium()
    from playwright.sync_api import expect, sync_playwright

    varied_dataset(tmp_path / "ds")
    settings = make_settings(home, public_url=None)

    async def prepare() -> str:
        async with run_app(settings) as service:
            await registered(service, tmp_path / "ds")
            return service.keys["read"]

    key = asyncio.run(prepare())
    with on_a_port(settings) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page()
        faults: list[str] = []
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.set_default_timeout(60_000)
        page.goto(f"{url}/datasets")
        page.keyboard.type(key)
        page.keyboard.press("Enter")
        page.wait_for_selector("text=made-up")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_selector(".gallery .sample")
        assert page.locator(".gallery .sample").count() == 12
        page.locator("label:has([name=decision][value=accept])").click()
        expect(page.locator(".gallery .sample").nth(11)).to_be_hidden(timeout=60_000)
        assert set(page.locator(".gallery .sample .facts .state").all_inner_texts()) == {"accept"}
        page.locator("label:has([name=decision][value=''])").click()
        expect(page.locator(".gallery .sample")).to_have_count(12, timeout=60_000)
        page.keyboard.press("/")
        page.keyboard.type("number7")
        expect(page.locator(".gallery .sample")).to_have_count(1, timeout=60_000)
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        page.evaluate("document.activeElement.dataset.before = ''")
        page.evaluate("document.querySelector('#filters').requestSubmit()")
        page.wait_for_selector(".gallery .sample a:not([data-before])")
        expect(page.locator(".gallery .sample a")).to_be_focused()
        page.keyboard.press("Enter")
        page.wait_for_selector(".detail svg image")
        page.keyboard.press("j")
        page.wait_for_selector(".detail svg .drawn.on")
        loaded = page.evaluate(
            "fetch(document.querySelector('.detail image').href.baseVal).then(r => r.status)"
        )
        assert loaded == 200
        page.keyboard.press("Escape")
        page.wait_for_selector(".gallery .sample")
        browser.close()
    assert faults == []
