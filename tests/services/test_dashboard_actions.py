"""What people start, change and delete on the dashboard, with the scopes of their key; and in a browser."""

from pathlib import Path
from typing import Any

import httpx
from factories import make_dataset, make_row
from running_service import make_settings, run_app
from test_dashboard import a_job, log_in, token_of
from test_datasets_api import registered, varied_dataset
from test_operations import corrected_review

from schemas.jobs import RunConfig
from schemas.reviews import ReviewSelection
from services.dashboard.run_form import run_fields, settings_of_form, values_of_run
from services.database.operation_tables import OperationKind, OperationState
from services.datasets import repository as dataset_repository
from services.jobs import service as job_service
from services.jobs.service import JobNews
from services.jobs.states import JobState
from services.operations import repository as operations
from services.review.outbox.plan import plan_items
from services.review.selection import selected_images
from services.settings import Settings

NOWHERE = "http://127.0.0.1:9"


def settings_of(home: Path, **more: Any) -> Settings:
    """Settings of a service whose Ray and Label Studio do not answer."""
    outside = {"ray_address": NOWHERE, "label_studio_url": NOWHERE, "label_studio_token": "t" * 40}
    return make_settings(home, **{**outside, "reconcile_every_s": 600, **more})


def test_the_form_of_a_run_has_every_setting_and_gives_back_what_it_shows() -> None:
    fields = [field for group in run_fields().values() for field in group]
    names = {field.name for field in fields}
    assert set(RunConfig.model_fields) - names == {"address", "object_store_bytes"}
    assert all(field.help for field in fields)
    config = RunConfig(
        corpus="/c", out="/o", labels=["detect"], vocabulary=["cat", "dog"], strict=True, limit=3, audit=0.1
    )  # fmt: skip
    shown = values_of_run(config.model_dump(mode="json", exclude_defaults=True))
    assert RunConfig.model_validate(settings_of_form(shown)) == config


PAGES = [
    ("label", "/jobs/new"),
    ("label", "/datasets/new"),
    ("label", "/datasets/{dataset_id}/delete"),
    ("review", "/datasets/{dataset_id}/review"),
    ("review", "/reviews/{review_id}/merge"),
    ("admin", "/keys"),
]


async def test_a_key_is_shown_what_it_may_use(tmp_path: Path, home: Path) -> None:
    varied_dataset(tmp_path / "ds")
    async with run_app(settings_of(home)) as service:
        dataset = await registered(service, tmp_path / "ds")
        review_id = await corrected_review(service, dataset["id"], tmp_path / "ds")
        ids = {"dataset_id": dataset["id"], "review_id": review_id}
        for scope in ("read", "label", "review", "admin"):
            async with log_in(service, scope) as client:
                shown = "".join(
                    [(await client.get(path)).text for path in ("/", "/datasets", "/reviews")]
                    + [(await client.get(f"/datasets/{dataset['id']}")).text]
                )
                token = token_of(shown)
                for needed, page in PAGES:
                    path = page.format(**ids)
                    may = scope in (needed, "admin")
                    assert (await client.get(path)).status_code == (200 if may else 403), (scope, path)
                    linked = f'href="{path}' in shown
                    assert linked == may, (scope, path)
                    if not may:
                        answer = await client.post(path, data={"token": token})
                        assert answer.status_code == 403, (scope, path)
                # Without the token of the login nothing is done, whatever the scope.
                for _, page in PAGES:
                    assert (await client.post(page.format(**ids))).status_code == 403


async def test_what_is_wrong_with_a_form_stands_at_its_field(tmp_path: Path, home: Path) -> None:
    async with run_app(settings_of(home)) as service, log_in(service) as client:
        token = token_of((await client.get("/jobs/new")).text)

        async def sent(path: str, **form: Any) -> httpx.Response:
            return await client.post(path, data={"token": token, **form})

        wrong = await sent("/jobs/new", corpus="/etc", out=str(tmp_path / "out"), actors="many")
        assert (wrong.status_code, 'value="/etc"' in wrong.text) == (422, True)
        assert "must be a number such as 4, or MIN:MAX" in wrong.text
        outside = await sent("/jobs/new", corpus="/etc", out=str(tmp_path / "out"))
        assert (outside.status_code, "outside the storage roots" in outside.text) == (403, True)
        missing = await sent("/datasets/new", address=str(tmp_path / "none"))
        assert (missing.status_code, 'role="alert"' in missing.text) == (404, True)
        assert (await sent("/keys", name="without a scope")).status_code == 422
        assert (await sent("/projects", name="no name")).status_code == 422
        assert (await sent("/projects", name="fine", roots="/etc")).status_code == 403


async def test_a_full_service_takes_no_job_from_the_dashboard(tmp_path: Path, home: Path) -> None:
    make_dataset(tmp_path / "taken", [make_row(0, folder=tmp_path / "corpus")])
    async with run_app(settings_of(home, max_jobs=1)) as service, log_in(service) as client:
        failed = await a_job(service, tmp_path, JobState.FAILED)
        run = {"corpus": str(tmp_path / "corpus"), "out": str(tmp_path / "new"), "model": "fo1-tiny"}
        async with service.context.database.writing() as session:
            plan = await operations.create(
                session, failed.project_id, OperationKind.PLAN, RunConfig(**run).model_dump(mode="json"), "me"
            )
            await operations.set_operation(session, plan.id, state=OperationState.FAILED)
        form = {"token": token_of((await client.get("/jobs/new")).text)}
        taken = await client.post("/jobs/new", data={**form, **run, "out": str(tmp_path / "taken")})
        assert (taken.status_code, "taken" in taken.text) == (409, True)
        queued = await a_job(service, tmp_path, JobState.QUEUED)
        starts = {f"/jobs/{failed.id}/resume": {}, "/jobs/new": run, f"/operations/{plan.id}/start": {}}
        for path, more in starts.items():
            refused = await client.post(path, data={**form, **more})
            assert (refused.status_code, "the most there may be" in refused.text) == (429, True), path
        async with service.context.database.writing() as session:
            await job_service.apply_news(
                session, await session.merge(queued), JobNews(JobState.FAILED, "made up")
            )
        resumed = await client.post(f"/jobs/{failed.id}/resume", data=form)
        assert resumed.status_code == 303


async def test_a_selection_is_pushed_and_nothing_else(tmp_path: Path, home: Path) -> None:
    varied_dataset(tmp_path / "ds")
    async with run_app(settings_of(home)) as service, log_in(service) as client:
        dataset = await registered(service, tmp_path / "ds")
        path = f"/datasets/{dataset['id']}/review?label=dog&max_confidence=30"
        page = (await client.get(path)).text
        assert "max confidence <b>30</b>" in page
        sent = await client.post(path, data={"token": token_of(page), "lanes": "review", "limit": "5"})
        assert (sent.status_code, sent.headers["location"]) == (303, "/reviews")
        async with service.context.database.reading() as session:
            record = await dataset_repository.get_dataset(session, dataset["id"])
        assert record is not None
        (review,) = (await service.client.get("/v1/reviews")).json()["items"]
        selection = ReviewSelection(label="dog", max_confidence=0.3)
        selected = await selected_images(service.context.database, record.number, selection)
        listed = await service.client.get(
            f"/v1/datasets/{dataset['id']}/samples", params={"label": "dog", "max_confidence": 0.3}
        )
        assert selected == {sample["image_id"] for sample in listed.json()["items"]}
        assert 0 < len(selected) < 12
        some = sorted(selected)[:2]
        few = selection.model_copy(update={"images": [image[:16] for image in some]})
        assert await selected_images(service.context.database, record.number, few) == set(some)
        chosen = (await client.get(f"{path}&images={','.join(few.images or [])}")).text
        assert "2 selected" in chosen
        async with service.context.database.reading() as session:
            stored = await service.client.get(f"/v1/reviews/{review['id']}")
            assert stored.json()["created_by"] is not None
        options = (await client.get("/reviews")).text
        assert "Merge corrections" in options
        items = [
            item
            for batch in plan_items(str(tmp_path / "ds"), "rev_1", "k", _options(selection), selected)
            for item in batch
        ]
        assert {item["image_id"] for item in items} == selected


def _options(selection: ReviewSelection) -> Any:
    from schemas.reviews import ReviewOptions

    return ReviewOptions(only=selection)
