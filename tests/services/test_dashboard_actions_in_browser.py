"""A person plans, starts, merges, compares, registers, forgets and makes keys in a real browser."""

import asyncio
from pathlib import Path

import pytest
from factories import make_dataset, make_row
from running_service import run_app
from test_dashboard import a_job, chromium, on_a_port
from test_dashboard_actions import settings_of
from test_datasets_api import registered
from test_operations import corrected_review

from schemas.labels import Decision
from services.jobs.states import JobState


@pytest.mark.slow
def test_a_person_works_in_the_browser(tmp_path: Path, home: Path) -> None:
    executable = chromium()
    from playwright.sync_api import expect, sync_playwright

    rows = [make_row(seed, decisions=[Decision.REVIEW], folder=tmp_path / "images") for seed in range(3)]
    make_dataset(tmp_path / "ds", rows)
    settings = settings_of(home, public_url=None)

    async def prepare() -> str:
        async with run_app(settings) as service:
            dataset = await registered(service, tmp_path / "ds")
            await corrected_review(service, dataset["id"], tmp_path / "ds")
            await a_job(service, tmp_path, JobState.FAILED, "made up")
            return service.keys["admin"]

    key = asyncio.run(prepare())
    with on_a_port(settings) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(url)
        expect(page.locator("[name=key]")).to_be_focused()
        page.keyboard.type(key)
        page.keyboard.press("Enter")
        # Plan a job, then start it.
        page.get_by_role("link", name="New job").click()
        page.locator("[name=corpus]").fill(str(tmp_path / "images"))
        page.locator("[name=out]").fill(str(tmp_path / "new"))
        page.get_by_role("button", name="Plan first").click()
        expect(page.get_by_text("Label Studio at").first).to_be_visible()  # it does not answer
        page.get_by_role("button", name="Start this job").click()
        expect(page.locator("h1")).to_contain_text("new")
        expect(page.locator(".state").first).to_be_visible()
        # Delete the job that has failed.
        page.goto(f"{url}/?state=failed")
        page.locator("a.row").first.click()
        page.get_by_role("link", name="Delete").click()
        expect(page.get_by_text("Its folder stays as it is")).to_be_visible()
        page.get_by_role("button", name="Delete the job").click()
        expect(page).to_have_url(f"{url}/")  # a page that is opened before would cut the deletion off
        page.goto(f"{url}/?state=failed")
        expect(page.locator("a.row")).to_have_count(0)
        # Merge the corrections of the review, then compare the two versions.
        page.get_by_role("link", name="Reviews").click()
        page.get_by_role("link", name="Merge corrections").click()
        page.get_by_role("button", name="Merge").click()
        page.get_by_role("link", name="See version").click()
        page.get_by_role("link", name="Compare").click()
        page.get_by_role("button", name="Compare").click()
        expect(page.get_by_text("a corrected caption")).to_be_visible()
        # Register the reviewed dataset again: it is the same one. Forget the new version.
        page.get_by_role("link", name="Datasets").click()
        page.get_by_role("link", name="Register a dataset").click()
        page.locator("[name=address]").fill(str(tmp_path / "ds-corrected"))
        page.get_by_role("button", name="Register").click()
        page.get_by_role("link", name="Forget").click()
        page.get_by_role("button", name="Forget the dataset").click()
        expect(page.locator("a.row")).to_have_count(1)
        # Make a key and a project, and revoke the key.
        page.get_by_role("link", name="Keys").click()
        page.locator("#name").fill("from the browser")
        page.get_by_role("button", name="Create a key").click()
        expect(page.locator("#new-key")).to_contain_text("fo1_")
        page.locator("#project-name").fill("second")
        page.get_by_role("button", name="Create a project").click()
        expect(page.locator("#new-key")).to_have_count(0)
        row = page.locator("tr", has_text="from the browser")
        row.get_by_role("button", name="Revoke").click()
        expect(row).to_contain_text("revoked")
        page.get_by_label("Project", exact=True).select_option("second")
        expect(page.get_by_text("No jobs yet")).to_be_visible()
        browser.close()
    assert faults == []
