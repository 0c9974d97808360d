"""Nobody sees what belongs to another project: every route, asked with every key of another one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from alembic import command
from clip_samples import write_clip, x264
from factories import make_dataset
from running_service import Running, make_settings, run_app
from sqlalchemy import Connection, text
from test_dashboard import token_of
from test_datasets_api import registered
from test_keys_and_scopes import NEEDS, routes_of
from test_videos_api import write_dataset

from fo1_data.cli.main import main
from schemas.jobs import RunConfig
from schemas.reviews import ReviewOptions
from services.database.engine import open_database
from services.database.migrate import alembic_config, migrate
from services.database.models import Project, utc_now
from services.database.operation_tables import OperationKind, OperationState
from services.datasets import repository as dataset_repository
from services.jobs import service as job_service
from services.operations import repository as operations
from services.review import service as review_service
from services.security.keys import Scope, create_key
from services.security.projects import PROJECT_HEADER, create_project


@dataclass
class Neighbours:
    """A service with two projects. `ids`: what the project `ours` has. Keys by scope, of each project."""

    service: Running
    ids: dict[str, str]
    ours: dict[Scope, str]
    theirs: dict[Scope, str]

    async def ask(self, key: str, method: str, url: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}", **more.pop("headers", {})}
        return await self.service.client.request(method, url, headers=headers, **more)


def url_of(path: str, ids: dict[str, str]) -> str:
    """The path with its ids; a video is found by a key only with the dataset that holds it."""
    query = "?dataset={dataset_id}" if "{video_id}" in path else ""
    return (path + query).format(**ids)


@asynccontextmanager
async def neighbours(tmp_path: Path, database_url: str | None = None) -> AsyncIterator[Neighbours]:
    """Two projects, of which the first has a dataset, a job and a review. Nothing answers outside."""
    nowhere = "http://127.0.0.1:9"
    clip = write_clip(tmp_path / "clip.mp4", 20, options=x264(10, 2))
    [video_id] = write_dataset(tmp_path / "ours", clip, embed=True)
    settings = make_settings(
        tmp_path / "home",
        database_url=database_url,
        ray_address=nowhere,
        label_studio_url=nowhere,
        label_studio_token="t" * 40,
        predict_url=nowhere,
        key_failures_per_minute=10_000,
    )
    async with run_app(settings) as service:
        keys: list[dict[Scope, str]] = []
        async with service.context.database.writing() as session:
            for name in ("ours", "theirs"):
                project = await create_project(session, name)
                keys.append(
                    {scope: (await create_key(session, [scope], "", project.id)).key for scope in Scope}
                )
        service.client.headers["Authorization"] = f"Bearer {keys[0][Scope.ADMIN]}"
        dataset = await registered(service, tmp_path / "ours")
        async with service.context.database.writing() as session:
            record = await dataset_repository.get_dataset(session, dataset["id"])
            assert record is not None
            config = RunConfig(corpus=str(tmp_path), out=str(tmp_path / "out"))
            job = await job_service.create(session, config, "us", record.project_id)
            review = await review_service.request_push(session, settings, record, None, ReviewOptions())
            operation = await operations.create(session, record.project_id, OperationKind.PLAN, {}, "us")
            await operations.set_operation(session, operation.id, state=OperationState.FAILED)
        items = (await service.client.get(f"/v1/datasets/{dataset['id']}/samples")).json()["items"]
        ids = {
            "dataset_id": dataset["id"],
            "job_id": job.id,
            "review_id": review.id,
            "operation_id": operation.id,
            "image_id": items[0]["image_id"],
            "video_id": video_id,
            "key_id": keys[0][Scope.READ].split("_")[1],
        }
        yield Neighbours(service, ids, *keys)


async def test_no_key_of_another_project_finds_anything(tmp_path: Path, database_url: str | None) -> None:
    async with neighbours(tmp_path, database_url) as both:
        with_ids = [(method, path) for method, path in NEEDS if "{" in path]
        assert len(with_ids) >= 13
        for method, path in with_ids:
            url = url_of(path, both.ids)
            body = {"json": {}} if method == "POST" else {}
            for scope, key in both.theirs.items():
                answer = await both.ask(key, method, url, **body)
                may = scope in (Scope.ADMIN, NEEDS[method, path]) or NEEDS[method, path] is Scope.READ
                assert answer.status_code == (404 if may else 403), (method, path, answer.text)
        for path in ("/v1/jobs", "/v1/datasets", "/v1/reviews", "/v1/operations", "/v1/keys"):
            foreign = (await both.ask(both.theirs[Scope.ADMIN], "GET", path)).json()["items"]
            own = (await both.ask(both.ours[Scope.ADMIN], "GET", path)).json()["items"]
            # The service's own admin key, the default project, sees neither.
            default = (await both.ask(both.service.keys["admin"], "GET", path)).json()["items"]
            assert (len(foreign), len(own)) == ((4, 4) if path == "/v1/keys" else (0, 1)), path
            assert not any(item in own for item in [*foreign, *default])


async def test_the_owner_finds_everything(tmp_path: Path) -> None:
    """The test above would also pass if nothing could be found."""
    async with neighbours(tmp_path) as both:
        for method, path in NEEDS:
            if method == "GET" and not path.endswith("/events"):
                url = url_of(path, both.ids)
                assert (await both.ask(both.ours[Scope.ADMIN], method, url)).status_code == 200, path
                chosen = {PROJECT_HEADER: "ours"}
                of_service = await both.ask(both.service.keys["admin"], method, url, headers=chosen)
                assert of_service.status_code == 200, path
        cancelled = await both.ask(both.ours[Scope.LABEL], "POST", f"/v1/jobs/{both.ids['job_id']}/cancel")
        assert cancelled.status_code == 202
        sample = (
            await both.ask(both.ours[Scope.READ], "GET", f"/v1/datasets/{both.ids['dataset_id']}/samples")
        ).json()["items"][0]
        signed = sample["image_url"].removeprefix("http://service.test")
        assert (await both.service.client.get(signed, headers={"Authorization": ""})).status_code == 200
        assert (await both.ask(both.theirs[Scope.READ], "GET", signed)).status_code == 200  # a link is a link


async def test_the_header_opens_no_other_project(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as both:
        for name in ("ours", "default", "nowhere", "", "x" * 200):
            for key in both.theirs.values():
                for path in ("/v1/jobs", f"/v1/jobs/{both.ids['job_id']}"):
                    answer = await both.ask(key, "GET", path, headers={PROJECT_HEADER: name})
                    assert answer.status_code == 404
        answer = await both.ask(
            both.theirs[Scope.READ], "GET", "/v1/jobs", headers={PROJECT_HEADER: "theirs"}
        )
        assert answer.status_code == 200
        made = {"json": {"name": "third"}}
        assert (await both.ask(both.ours[Scope.ADMIN], "POST", "/v1/projects", **made)).status_code == 403
        admin = both.service.keys["admin"]
        assert (await both.ask(admin, "POST", "/v1/projects", **made)).status_code == 201
        assert (await both.ask(admin, "POST", "/v1/projects", **made)).status_code == 409
        headers = {PROJECT_HEADER: "third", "Idempotency-Key": "once"}
        body = {"scopes": ["admin"], "name": "theirs"}
        new = (await both.ask(admin, "POST", "/v1/keys", json=body, headers=headers)).json()
        again = (await both.ask(admin, "POST", "/v1/keys", json=body, headers=headers)).json()
        assert again == {**new, "key": None}
        elsewhere = {**headers, PROJECT_HEADER: "ours"}
        other = (await both.ask(admin, "POST", "/v1/keys", json=body, headers=elsewhere)).json()
        assert other["id"] != new["id"]
        listed = (await both.ask(new["key"], "GET", "/v1/keys")).json()["items"]
        assert [key["id"] for key in listed] == [new["id"]]
        seen = (await both.ask(new["key"], "GET", "/v1/projects")).json()["items"]
        assert [project["name"] for project in seen] == ["third"]
        revoked = await both.ask(new["key"], "POST", f"/v1/keys/{new['id']}/revoke")
        assert revoked.status_code == 200
        assert (await both.ask(new["key"], "GET", "/v1/keys")).status_code == 401


async def test_what_is_named_by_its_place_is_not_found_either(tmp_path: Path) -> None:
    make_dataset(tmp_path / "shared" / "ds")
    async with neighbours(tmp_path) as both:
        key, ours = both.theirs[Scope.ADMIN], str(tmp_path / "ours")
        link = tmp_path / "link"
        link.symlink_to(ours)
        for place in (ours, f"{ours}/", f"{ours}/../ours", str(link)):
            assert (await both.ask(key, "POST", "/v1/datasets", json={"address": place})).status_code == 403
            assert (await both.ask(key, "POST", "/v1/reviews", json={"dataset": place})).status_code == 403
            for field in ("corpus", "out", "parent"):
                body = {"corpus": str(tmp_path / "shared"), "out": str(tmp_path / "new"), field: place}
                assert (await both.ask(key, "POST", "/v1/jobs", json=body)).status_code == 403, field
        for path, field, name in (
            ("/v1/reviews", "dataset", "dataset_id"),
            ("/v1/predict", "image", "image_id"),
        ):
            answer = await both.ask(key, "POST", path, json={field: both.ids[name]})
            assert answer.status_code == 404, answer.text
        asked = [
            ("/v1/plans", {"corpus": ours, "out": str(tmp_path / "new")}, 403),
            ("/v1/merges", {"review": both.ids["review_id"], "out": str(tmp_path / "new")}, 404),
            ("/v1/comparisons", {"a": both.ids["dataset_id"], "b": both.ids["dataset_id"]}, 404),
        ]
        for path, body, status in asked:
            assert (await both.ask(key, "POST", path, json=body)).status_code == status, path
        busy = {"corpus": str(tmp_path / "shared"), "out": str(tmp_path / "out")}
        refused = await both.ask(key, "POST", "/v1/jobs", json=busy)
        assert refused.status_code == 403
        assert both.ids["job_id"] not in refused.text
        written = str(tmp_path / "next")
        async with both.service.context.database.writing() as session:
            dataset = await dataset_repository.get_dataset(session, both.ids["dataset_id"])
            assert dataset is not None
            # At work in another process of the service.
            merge = await operations.create(
                session, dataset.project_id, OperationKind.MERGE, {"out": written}, "us"
            )
            await operations.set_operation(
                session, merge.id, state=OperationState.RUNNING, worker="other", worker_seen_at=utc_now()
            )
        for place in (written, f"{written}/inside"):
            body = {"corpus": str(tmp_path / "shared"), "out": place}
            assert (await both.ask(key, "POST", "/v1/jobs", json=body)).status_code == 403, place
        owner = both.ours[Scope.LABEL]
        for place in (written, f"{written}/inside"):
            body = {"corpus": str(tmp_path / "shared"), "out": place}
            answer = await both.ask(owner, "POST", "/v1/jobs", json=body)
            assert (answer.status_code, merge.id in answer.text) == (409, True), answer.text
        # What nobody has registered is anybody's, and each project has a record of its own.
        body = {"address": str(tmp_path / "shared" / "ds")}
        assert (await both.ask(both.ours[Scope.LABEL], "POST", "/v1/datasets", json=body)).status_code == 201


async def test_a_project_with_roots_of_its_own_keeps_to_them(tmp_path: Path) -> None:
    make_dataset(tmp_path / "mine" / "ds")
    make_dataset(tmp_path / "other" / "ds")
    async with neighbours(tmp_path) as both:
        admin = both.service.keys["admin"]
        body = {"name": "narrow", "storage_roots": [str(tmp_path / "mine")]}
        outside = await both.ask(admin, "POST", "/v1/projects", json={**body, "storage_roots": ["/etc"]})
        assert outside.status_code == 403
        assert (await both.ask(admin, "POST", "/v1/projects", json=body)).status_code == 201
        headers = {PROJECT_HEADER: "narrow"}
        for folder, status in (("mine", 201), ("other", 403)):
            address = {"address": str(tmp_path / folder / "ds")}
            answer = await both.ask(admin, "POST", "/v1/datasets", json=address, headers=headers)
            assert answer.status_code == status, answer.text


async def test_a_webhook_with_a_key_reaches_reviews_of_its_project_only(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as both:
        async with both.service.context.database.writing() as session:
            review = await review_service.get_review(session, None, both.ids["review_id"])
            review.project_id = 7
        hook = {
            "action": "ANNOTATION_CREATED",
            "project": {"id": 7},
            "task": {"id": 5},
            "annotation": {"id": 9, "updated_at": "2026-01-01T00:00:00Z"},
        }
        url = "/v1/webhooks/label-studio"
        heard = [
            (await both.ask(keys[Scope.REVIEW], "POST", url, json=hook)).json()["heard"]
            for keys in (both.theirs, both.ours)
        ]
        assert heard == [0, 1]


async def test_no_page_of_the_dashboard_shows_another_project(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as both:
        transport = httpx.ASGITransport(both.service.app, raise_app_exceptions=False)
        pages = [
            path
            for method, path in routes_of(both.service)
            if method == "GET" and not path.startswith(("/v1", "/ml", "/static", "/open", "/docs", "/login"))
        ]
        assert len([path for path in pages if "{" in path]) >= 7
        async with httpx.AsyncClient(
            transport=transport, base_url="http://service.test", headers={"Accept": "text/html"}
        ) as client:
            await client.post("/login", data={"key": both.theirs[Scope.ADMIN]})
            token = token_of((await client.get("/")).text)
            for path in pages:
                answer = await client.get(path.format(**both.ids))
                if "{" in path:
                    assert answer.status_code == 404, path
                else:
                    assert not any(value in answer.text for value in both.ids.values()), path
            for path in (f"/jobs/{both.ids['job_id']}/cancel", f"/jobs/{both.ids['job_id']}/resume"):
                assert (await client.post(path, data={"token": token})).status_code == 404
            chosen = await client.post("/project", data={"token": token, "project": "ours"})
            assert chosen.status_code == 404
            client.cookies.set("fo1_project", "ours")
            assert (await client.get(f"/jobs/{both.ids['job_id']}")).status_code == 404
            # An admin of the service chooses.
            client.cookies.clear()
            await client.post("/login", data={"key": both.service.keys["admin"]})
            page = (await client.get("/")).text
            assert both.ids["job_id"] not in page
            assert (
                await client.post("/project", data={"token": token_of(page), "project": "ours"})
            ).status_code == 303
            assert both.ids["job_id"] in (await client.get("/")).text


async def test_migration_keeps_rows_both_ways(home: Path, database_url: str | None) -> None:
    database = open_database(make_settings(home, database_url=database_url))

    def go(revision: str, downgrade: bool = False) -> Any:
        def work(connection: Connection) -> None:
            config = alembic_config(connection)
            (command.downgrade if downgrade else command.upgrade)(config, revision)

        return work

    async def run(work: Any) -> None:
        async with database.engine.execution_options(fo1_write=True).begin() as connection:
            await connection.run_sync(work)

    async def all_rows(query: str) -> list[Any]:
        async with database.engine.begin() as connection:
            return [tuple(row) for row in (await connection.execute(text(query))).all()]

    await run(go("0006"))
    insert = [
        "INSERT INTO api_keys (id, name, scopes, secret_sha256, created_at) VALUES "
        "('a', '', '[\"admin\"]', 'x', '2026-01-01'), ('r', '', '[\"read\", \"label\"]', 'x', '2026-01-01')",
        "INSERT INTO jobs (id, state, config, out, attempt, cancel_requested, created_at) "
        "VALUES ('job_1', 'failed', '{}', '/out', 1, false, '2026-01-01')",
        "INSERT INTO datasets (id, address, manifest_sha256, name, version, manifest, state, num_samples, "
        "created_at) VALUES ('ds_1', '/ds', 'ff', 'n', '1', '{}', 'ready', 1, '2026-01-01')",
        "INSERT INTO samples (dataset, position, image_id, file, row_group, row) "
        "SELECT number, 0, 'aa', 0, 0, 0 FROM datasets",
        "INSERT INTO reviews (id, key, dataset, title, label_studio_url, model_version, options, state, "
        "doubtful, created_at) VALUES ('rev_1', 'k', '/ds', 't', 'http://ls', 'm', '{}', 'open', false, "
        "'2026-01-01')",
    ]
    async with database.engine.execution_options(fo1_write=True).begin() as connection:
        for statement in insert:
            await connection.execute(text(statement))
    await migrate(database)
    owned = "SELECT project_id FROM jobs UNION ALL SELECT project_id FROM datasets"
    owned += " UNION ALL SELECT owner_project_id FROM reviews"
    assert await all_rows(owned) == [("prj_default",)] * 3
    assert await all_rows("SELECT id, project_id FROM api_keys ORDER BY id") == [
        ("a", None),
        ("r", "prj_default"),
    ]
    assert await all_rows("SELECT image_id FROM samples") == [("aa",)]
    async with database.writing() as session:
        other = await create_project(session, "other")
        await create_key(session, ["read"], "of other", other.id)
        await session.execute(
            text(
                "INSERT INTO datasets (id, project_id, address, manifest_sha256, name, version, manifest, "
                "state, num_samples, created_at) "
                "SELECT 'ds_2', :project, address, manifest_sha256, name, version, manifest, state, "
                "num_samples, created_at FROM datasets"
            ),
            {"project": other.id},
        )
    await run(go("0006", downgrade=True))
    assert await all_rows("SELECT id FROM datasets") == [("ds_1",)]
    assert await all_rows("SELECT image_id FROM samples") == [("aa",)]
    assert await all_rows("SELECT id FROM jobs UNION ALL SELECT id FROM reviews") == [("job_1",), ("rev_1",)]
    assert await all_rows("SELECT name FROM api_keys WHERE revoked_at IS NOT NULL") == [("of other",)]
    await migrate(database)
    async with database.reading() as session:
        assert await session.get(Project, "prj_default") is not None
    await database.dispose()


def test_keys_and_projects_are_made_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FO1_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FO1_STORAGE_ROOTS", f'["{tmp_path}"]')
    monkeypatch.delenv("FO1_DATABASE_URL", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["fo1", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    assert run("projects", "create", "birds", "--root", str(tmp_path / "birds"))[0] == 0
    assert run("projects", "create", "birds")[0] == 2
    code, _, error = run("projects", "create", "cats", "--root", "/etc")
    assert (code, "outside the storage roots" in error) == (2, True)
    assert run("projects", "create", "no name")[0] == 2
    code, _, error = run("keys", "create", "--scope", "admin", "--project", "fish", "--name", "f")
    assert (code, "made the project fish" in error) == (0, True)
    run("keys", "create", "--scope", "admin", "--name", "whole")
    run("keys", "create", "--scope", "read", "--name", "reader")
    listed = run("keys", "list")[1].splitlines()
    assert [line.split()[3:] for line in listed] == [
        ["fish", "f"],
        ["whole", "service", "whole"],
        ["default", "reader"],
    ]
    assert [line.split()[0] for line in run("projects", "list")[1].splitlines()] == [
        "default",
        "birds",
        "fish",
    ]
