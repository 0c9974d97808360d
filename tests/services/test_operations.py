"""Plans, merges and comparisons in the background; and deleting what may be deleted."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from factories import make_dataset, make_row
from running_service import Running, make_settings, run_app
from sqlalchemy import text
from test_dashboard import a_job
from test_datasets_api import registered

from fo1_data.dataset.reader import open_dataset
from schemas.corrections import Correction, CorrectionAction, CorrectionValue
from schemas.labels import Decision
from schemas.reviews import AnnotationState, ItemState, ReviewOptions
from services.database.models import utc_now
from services.database.operation_tables import OperationKind, OperationState
from services.database.review_tables import ReviewCorrection, ReviewedAnnotation, ReviewItem
from services.datasets import repository as dataset_repository
from services.jobs.states import JobState
from services.label_studio.shown_from_rows import shown_image
from services.operations import repository
from services.problems import Problem
from services.review import service as review_service


async def finished(service: Running, operation: dict[str, Any]) -> dict[str, Any]:
    """Wait until an operation has ended."""
    async with asyncio.timeout(120):
        while operation["state"] in ("queued", "running"):
            await asyncio.sleep(0.1)
            operation = (await service.client.get(f"/v1/operations/{operation['id']}")).json()
    return operation


async def corrected_review(service: Running, dataset_id: str, folder: Path) -> str:
    """A review in which one person has corrected the first caption."""
    row = next(iter(open_dataset(str(folder)).rows()))
    async with service.context.database.writing() as session:
        record = await dataset_repository.get_dataset(session, dataset_id)
        assert record is not None
        review = await review_service.request_push(
            session, service.context.settings, record, None, ReviewOptions()
        )
        item = ReviewItem(
            review_id=review.id, image_id=row.image_id, fo1_key="k", lane="review", doubt=0.5,
            state=ItemState.SENT, shown=shown_image(row, False).packed(),
        )  # fmt: skip
        session.add(item)
        await session.flush()
        annotation = ReviewedAnnotation(
            review_id=review.id, item_id=item.id, ls_annotation_id=1, ls_updated_at="", annotator="ann",
            state=AnnotationState.SUBMITTED, chosen=True, result=b"",
        )  # fmt: skip
        session.add(annotation)
        await session.flush()
        region = row.regions[0]
        correction = Correction(
            image_id=row.image_id,
            region_id=region.region_id,
            action=CorrectionAction.RECAPTIONED,
            kind=region.labels[0].kind,
            before=CorrectionValue(text=region.labels[0].text),
            after=CorrectionValue(text="a corrected caption"),
            annotator="ann",
            at=utc_now().isoformat(),
            lane="review",
            annotation_key=f"{review.key}/1",
        )
        session.add(
            ReviewCorrection(
                review_id=review.id,
                annotation_id=annotation.id,
                action=correction.action,
                document=correction.model_dump_json(),
            )
        )
        return review.id


async def test_corrections_become_a_version_that_can_be_compared(tmp_path: Path, home: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    rows = [make_row(seed, decisions=[Decision.REVIEW], folder=tmp_path / "images") for seed in range(3)]
    make_dataset(tmp_path / "ds", rows)
    settings = make_settings(home, label_studio_url=nowhere, label_studio_token="t" * 40)
    async with run_app(settings) as service:
        dataset = await registered(service, tmp_path / "ds")
        review_id = await corrected_review(service, dataset["id"], tmp_path / "ds")
        body = {"review": review_id, "out": str(tmp_path / "v2")}
        headers = {"Idempotency-Key": "once"}
        answers = [await service.client.post("/v1/merges", json=body, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 202], answers[0].text
        assert answers[0].json()["id"] == answers[1].json()["id"]
        merged = await finished(service, answers[0].json())
        assert merged["error"] is None
        assert merged["result"]["merged"]["images"] == 1
        version = (await service.client.get(f"/v1/datasets/{merged['result']['dataset_id']}")).json()
        assert (version["address"], version["parent"] is not None) == (str(tmp_path / "v2"), True)
        asked = {"a": dataset["id"], "b": version["id"]}
        compared = await finished(service, (await service.client.post("/v1/comparisons", json=asked)).json())
        result = compared["result"]
        assert (result["equal"], result["num_changed"], result["num_only_a"]) == (2, 1, 0)
        assert "a corrected caption" in str(result["changed"])
        again = await finished(service, (await service.client.post("/v1/merges", json=body)).json())
        assert again["state"] == "failed"
        assert "not empty" in again["error"]
        same = {**body, "out": str(tmp_path / "ds")}
        assert (await service.client.post("/v1/merges", json=same)).status_code == 422
        outside = {**body, "out": "/etc/v2"}
        assert (await service.client.post("/v1/merges", json=outside)).status_code == 403
        listed = (await service.client.get("/v1/operations")).json()["items"]
        assert [operation["kind"] for operation in listed] == ["merge", "compare", "merge"]
        deleted = await service.client.delete(f"/v1/datasets/{dataset['id']}")
        assert (deleted.status_code, review_id in deleted.text) == (409, True)
    assert not any((home / "operations").iterdir())


async def test_a_plan_says_what_a_run_will_meet(tmp_path: Path, home: Path) -> None:
    make_dataset(tmp_path / "ds", [make_row(seed, folder=tmp_path / "images") for seed in range(2)])
    (tmp_path / "images" / "broken.png").write_bytes(b"no image")
    async with run_app(make_settings(home)) as service:
        body = {"corpus": str(tmp_path / "images"), "out": str(tmp_path / "out"), "model": "fo1-tiny"}
        answer = await service.client.post("/v1/plans", json=body)
        assert answer.status_code == 202, answer.text
        plan = await finished(service, answer.json())
        assert plan["error"] is None
        assert (plan["result"]["images"], plan["result"]["files"]["bad"]) == (3, 1)
        assert not (tmp_path / "out").exists()
        wrong = await service.client.post("/v1/plans", json={**body, "corpus": "/etc"})
        assert wrong.status_code == 403


async def begun_comparison(service: Running, tmp_path: Path) -> str:
    """The id of an operation whose command is at work."""
    make_dataset(tmp_path / "ds")
    dataset = await registered(service, tmp_path / "ds")
    body = {"a": dataset["id"], "b": dataset["id"]}
    operation = (await service.client.post("/v1/comparisons", json=body)).json()
    async with asyncio.timeout(20):
        while operation["id"] not in service.context.operations._commands:
            await asyncio.sleep(0.005)
    return str(operation["id"])


async def test_work_survives_a_database_that_is_away_for_a_while(tmp_path: Path, home: Path) -> None:
    async with run_app(make_settings(home)) as service:
        operation_id = await begun_comparison(service, tmp_path)
        async with service.context.database.writing() as session:
            away = "BEGIN SELECT RAISE(ABORT, 'away'); END"
            await session.execute(text(f"CREATE TRIGGER away BEFORE UPDATE ON operations {away}"))
        async with asyncio.timeout(60):
            while operation_id in service.context.operations._commands:
                await asyncio.sleep(0.01)
        async with service.context.database.writing() as session:
            await session.execute(text("DROP TRIGGER away"))
        ended = await finished(service, {"id": operation_id, "state": "running"})
        assert (ended["state"], ended["error"]) == ("succeeded", None)


async def test_work_that_was_given_up_stays_so(tmp_path: Path, home: Path) -> None:
    async with run_app(make_settings(home)) as service:
        operation_id = await begun_comparison(service, tmp_path)
        async with service.context.database.writing() as session:
            assert await repository.fail_abandoned(session, utc_now() + timedelta(hours=1))
        async with asyncio.timeout(60):
            while (home / "operations" / operation_id).exists():
                await asyncio.sleep(0.01)
        shown = (await service.client.get(f"/v1/operations/{operation_id}")).json()
        assert (shown["state"], shown["error"]) == ("failed", repository.STOPPED)


async def test_what_a_stopped_service_was_at_work_on_fails(home: Path, database_url: str | None) -> None:
    settings = make_settings(home, database_url=database_url)
    async with run_app(settings) as service:
        service.context.operations.stop()
        async with service.context.database.writing() as session:
            operation = await repository.create(
                session, "prj_default", repository.OperationKind.COMPARE, {}, "somebody"
            )
            claimed = await repository.claim(session, list(repository.OperationKind), "gone")
            assert claimed is not None
            await repository.fail_abandoned(session, utc_now())
        shown = (await service.client.get(f"/v1/operations/{operation.id}")).json()
        assert (shown["state"], shown["error"]) == ("failed", repository.STOPPED)


async def test_what_a_killed_service_was_at_work_on_is_cleared_away(home: Path) -> None:
    async with run_app(make_settings(home)) as service:
        long_ago = utc_now() - timedelta(hours=1)
        async with service.context.database.writing() as session:
            operation = await repository.create(session, "prj_default", OperationKind.MERGE, {}, "somebody")
            folder = home / "operations" / operation.id
            folder.mkdir(parents=True)
            (folder / "corrections.jsonl").write_text("{}")
            await repository.set_operation(
                session, operation.id, state=OperationState.RUNNING, worker_seen_at=long_ago
            )
        service.context.operations.wake()
        ended = await finished(service, {"id": operation.id, "state": "running"})
        assert (ended["state"], ended["error"]) == ("failed", repository.STOPPED)
        async with asyncio.timeout(20):
            while folder.exists():
                await asyncio.sleep(0.01)


async def test_no_review_is_made_of_a_dataset_that_is_forgotten(
    tmp_path: Path, home: Path, database_url: str | None
) -> None:
    make_dataset(tmp_path / "ds")
    settings = make_settings(
        home, database_url=database_url, label_studio_url="http://127.0.0.1:9", label_studio_token="t" * 40
    )
    async with run_app(settings) as service:
        dataset = await registered(service, tmp_path / "ds")
        async with service.context.database.reading() as session:
            record = await dataset_repository.get_dataset(session, dataset["id"])
            assert record is not None
        assert (await service.client.delete(f"/v1/datasets/{dataset['id']}")).status_code == 204
        with pytest.raises(Problem) as refused:
            async with service.context.database.writing() as session:
                await review_service.request_push(session, settings, record, None, ReviewOptions())
        assert refused.value.status == 404


async def test_no_dataset_is_forgotten_while_its_review_is_made(
    tmp_path: Path, home: Path, postgres_database: str
) -> None:
    make_dataset(tmp_path / "ds")
    settings = make_settings(
        home,
        database_url=postgres_database,
        label_studio_url="http://127.0.0.1:9",
        label_studio_token="t" * 40,
    )
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'")
    async with run_app(settings) as service:
        dataset = await registered(service, tmp_path / "ds")
        async with service.context.database.writing() as session:
            record = await dataset_repository.get_dataset(session, dataset["id"])
            assert record is not None
            await review_service.request_push(session, settings, record, None, ReviewOptions())
            forgetting = asyncio.create_task(service.client.delete(f"/v1/datasets/{dataset['id']}"))
            async with asyncio.timeout(20):
                while not forgetting.done() and not await session.scalar(waits):
                    await asyncio.sleep(0.01)
        assert (await forgetting).status_code == 409
        assert (await service.client.get(f"/v1/datasets/{dataset['id']}")).status_code == 200


async def test_jobs_and_datasets_are_forgotten_and_their_files_stay(
    tmp_path: Path, home: Path, database_url: str | None
) -> None:
    make_dataset(tmp_path / "ds", [make_row(seed, folder=tmp_path / "images") for seed in range(2)])
    settings = make_settings(
        home, database_url=database_url, ray_address="http://127.0.0.1:9", reconcile_every_s=600
    )
    async with run_app(settings) as service:
        dataset = await registered(service, tmp_path / "ds")
        sample = (await service.client.get(f"/v1/datasets/{dataset['id']}/samples")).json()["items"][0]
        url = sample["image_url"].removeprefix("http://service.test")
        assert (await service.client.get(url)).status_code == 200
        path = f"/v1/datasets/{dataset['id']}"
        assert (await service.client.delete(path)).status_code == 204
        assert (await service.client.get(f"{path}/samples")).status_code == 404
        assert (await service.client.get(url)).status_code == 403
        assert (tmp_path / "ds").is_dir()
        again = await registered(service, tmp_path / "ds")
        assert (again["num_samples"], again["id"] != dataset["id"]) == (2, True)
        at_work = await a_job(service, tmp_path, JobState.RUNNING)
        ended = await a_job(service, tmp_path, JobState.FAILED)
        assert (await service.client.delete(f"/v1/jobs/{at_work.id}")).status_code == 409
        assert (await service.client.delete(f"/v1/jobs/{ended.id}")).status_code == 204
        assert (await service.client.get(f"/v1/jobs/{ended.id}")).status_code == 404
