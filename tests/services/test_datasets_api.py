"""Datasets over HTTP: registered, listed, filtered, paged; on SQLite and PostgreSQL."""

import asyncio
import shutil
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from factories import make_count, make_dataset, make_row
from running_service import Running, make_settings, run_app
from sqlalchemy import select, update

from fo1_data.dataset.reader import open_dataset
from schemas.labels import Decision
from schemas.reviews import ReviewSelection
from services.benchmarks.list_load import load_summary, measure_load
from services.database.models import DatasetRecord, DatasetState, Sample
from services.datasets import repository, service
from services.datasets.documents import KIND
from services.datasets.facets import count_facets
from services.datasets.page_cache import PageCache
from services.datasets.sample_lists import SampleFilter
from services.problems import Problem
from services.review.selection import selected_images
from services.security.projects import PROJECT_HEADER


async def registered(service: Running, folder: Path) -> dict[str, Any]:
    """Register the dataset in a folder and wait until it is indexed."""
    answer = await service.client.post("/v1/datasets", json={"address": str(folder)})
    assert answer.status_code == 201, answer.text
    return await indexed(service, answer.json()["id"])


async def indexed(service: Running, dataset_id: str) -> dict[str, Any]:
    """Wait until a dataset is indexed, or cannot be."""
    async with asyncio.timeout(20):
        while True:
            found = (await service.client.get(f"/v1/datasets/{dataset_id}")).json()
            if found["state"] != "indexing":
                return dict(found)
            await asyncio.sleep(0.02)


async def all_samples(service: Running, dataset_id: str, **query: Any) -> list[dict[str, Any]]:
    """Every sample that a filter finds, page by page."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        asked = {**query, **({"cursor": cursor} if cursor else {})}
        answer = await service.client.get(f"/v1/datasets/{dataset_id}/samples", params=asked)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return found


def varied_dataset(folder: Path) -> None:
    """Twelve images: every third to review, captions and confidences that tell them apart."""
    rows = []
    for seed in range(12):
        decision = Decision.REVIEW if seed % 3 == 0 else Decision.ACCEPT
        row = make_row(
            seed, num_regions=3, decisions=[decision, Decision.ACCEPT], folder=folder.parent / "images"
        )
        for region in row.regions:
            region.labels[0].confidence = 0.05 * (seed + 1) + 0.01 * region.index
        row.caption = f"scene number{seed} seen from above"
        row.regions[0].source_label = "Cat" if seed % 2 else "dog"
        row.counts = [make_count(row.regions)]
        rows.append(row)
    make_dataset(folder, rows, rows_a_shard=5)


async def test_samples_are_those_of_the_dataset(tmp_path: Path, home: Path, database_url: str | None) -> None:
    varied_dataset(tmp_path / "ds")
    rows = list(open_dataset(str(tmp_path / "ds")).rows())
    async with run_app(make_settings(home, database_url=database_url)) as service:
        dataset = await registered(service, tmp_path / "ds")
        assert (dataset["state"], dataset["num_samples"]) == ("ready", 12)
        assert dataset["counts"]["images"] == 12

        samples = await all_samples(service, dataset["id"], limit=5)
        assert [sample["image_id"] for sample in samples] == [row.image_id for row in rows]
        for sample, row in zip(samples, rows, strict=True):
            assert [region["box_xyxy"] for region in sample["regions"]] == [
                list(r.box_xyxy) for r in row.regions
            ]
            assert sample["regions"][1]["labels"][0]["text"] == row.regions[1].labels[0].text
            assert sample["confidence"] == pytest.approx(
                min(r.labels[0].confidence or 1 for r in row.regions)
            )

        async def ids(**query: Any) -> list[str]:
            return [sample["image_id"] for sample in await all_samples(service, dataset["id"], **query)]

        cats = [row.image_id for row in rows if row.regions[0].source_label == "Cat"]
        review = [row.image_id for row in rows if row.decision is Decision.REVIEW]
        assert await ids(decision="review", limit=2) == review
        assert await ids(label="cat", limit=1) == cats
        assert await ids(label="CAT", decision="review") == [item for item in review if item in cats]
        assert await ids(text="number7 SCENE") == [
            row.image_id for row in rows if "number7" in (row.caption or "")
        ]
        assert await ids(text="number7 number8") == []
        assert await ids(kind="count") == [row.image_id for row in rows]
        assert await ids(kind="ocr") == []
        sure = [row.image_id for row in rows if min(r.labels[0].confidence or 1 for r in row.regions) >= 0.3]
        assert await ids(min_confidence=0.3 - 1e-6, limit=3) == sure
        by_confidence = await all_samples(service, dataset["id"], order="confidence", limit=5)
        assert [s["confidence"] for s in by_confidence] == sorted(s["confidence"] for s in samples)
        assert len(by_confidence) == 12


async def test_files_that_come_back_are_indexed(tmp_path: Path, home: Path, database_url: str | None) -> None:
    varied_dataset(tmp_path / "ds")
    settings = make_settings(home, database_url=database_url)
    async with run_app(settings) as service:
        service.context.indexer.loop.end()
        answer = await service.client.post("/v1/datasets", json={"address": str(tmp_path / "ds")})
        address = f"/v1/datasets/{answer.json()['id']}"
        shutil.move(tmp_path / "ds", tmp_path / "away")
    async with run_app(settings) as service:
        failed = await indexed(service, answer.json()["id"])
        assert (failed["state"], "tried again" in failed["error"]) == ("failed", True)
        shutil.move(tmp_path / "away", tmp_path / "ds")
        await registered(service, tmp_path / "ds")
        async with asyncio.timeout(20):
            while (await service.client.get(address)).json()["state"] != "ready":
                await asyncio.sleep(0.02)
        ready = (await service.client.get(address)).json()
        assert (ready["error"], ready["num_samples"]) == (None, 12)
        # An upgrade has it indexed again, while its folder is away.
        shutil.move(tmp_path / "ds", tmp_path / "away")
        async with service.context.database.writing() as session:
            await session.execute(
                update(DatasetRecord).values(state=DatasetState.INDEXING, indexer_seen_at=None)
            )
        service.context.indexer.wake()
        kept = await indexed(service, ready["id"])
        assert (kept["state"], kept["num_samples"], "tried again" in kept["error"]) == ("ready", 12, True)
        assert len(await all_samples(service, ready["id"], text="number3")) == 1


async def test_indexing_ends_with_the_service_and_goes_on_with_the_next(tmp_path: Path, home: Path) -> None:
    make_dataset(
        tmp_path / "ds", [make_row(seed, folder=tmp_path / "images") for seed in range(4)], rows_a_shard=1
    )
    settings = make_settings(home)
    async with run_app(settings) as service:
        indexer = service.context.indexer
        indexer.loop.end()
        answer = await service.client.post("/v1/datasets", json={"address": str(tmp_path / "ds")})
        assert await indexer.index_next()  # as a step that is at work when the service is to stop
        cut = (await service.client.get(f"/v1/datasets/{answer.json()['id']}")).json()
        assert (cut["state"], cut["num_samples"]) == ("indexing", 1)
    async with run_app(settings) as service:
        done = await indexed(service, cut["id"])
        assert (done["state"], done["num_samples"]) == ("ready", 4)


async def test_the_same_version_is_registered_once(tmp_path: Path, home: Path) -> None:
    make_dataset(tmp_path / "ds")
    async with run_app(make_settings(home)) as service:
        first = await registered(service, tmp_path / "ds")
        again = await service.client.post("/v1/datasets", json={"address": str(tmp_path / "ds")})
        assert again.json()["id"] == first["id"]
        listed = (await service.client.get("/v1/datasets")).json()
        assert [entry["id"] for entry in listed["items"]] == [first["id"]]


@pytest.mark.parametrize("what", ["nothing", "outside", "link", "linked file"])
async def test_what_is_no_dataset_of_ours_is_refused(tmp_path: Path, home: Path, what: str) -> None:
    make_dataset(tmp_path / "outside" / "ds")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "outside" / "ds")
    shutil.copytree(tmp_path / "outside" / "ds", inside / "linked file")
    rows = next((inside / "linked file" / "data").iterdir())
    rows.unlink()
    rows.symlink_to(tmp_path / "outside" / "ds" / "data" / rows.name)
    address = tmp_path / "outside" / "ds" if what == "outside" else inside / what
    async with run_app(make_settings(home, storage_roots=[str(inside)])) as service:
        answer = await service.client.post("/v1/datasets", json={"address": str(address)})
        assert answer.status_code == (404 if what == "nothing" else 403)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "address" in answer.json()["detail"]


async def test_a_store_that_does_not_answer_is_no_missing_dataset(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "x")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        async with run_app(make_settings(home, storage_roots=["s3://bucket"])) as service:
            answer = await service.client.post("/v1/datasets", json={"address": "s3://bucket/ds"})
    assert (answer.status_code, answer.headers.get("retry-after")) == (503, "5"), answer.text
    assert "address" in answer.json()["detail"]


def vars_of(sample: Sample) -> dict[str, Any]:
    """The values of a sample's columns by name."""
    return {column.key: getattr(sample, column.key) for column in Sample.__table__.columns}


async def test_an_image_that_is_indexed_again_between_two_reads_is_asked_for_later(
    tmp_path: Path, home: Path
) -> None:
    make_dataset(tmp_path / "ds")
    async with run_app(make_settings(home)) as running:
        dataset_id = (await registered(running, tmp_path / "ds"))["id"]
        database = running.context.database
        async with database.reading() as session:
            record = await repository.get_dataset(session, dataset_id)
            assert record is not None
            query = select(Sample).where(Sample.dataset == record.number).order_by(Sample.position)
            first, second = (await session.scalars(query.limit(2))).all()
        async with database.reading() as session:
            place = await service.image_place(session, record, first)
            assert place.image_id == first.image_id
            before = Sample(**{**vars_of(first), "position": second.position})  # of an earlier index
            with pytest.raises(Problem, match="503"):
                await service.image_place(session, record, before)
        async with database.writing() as session:
            await repository.delete_index(session, record.number)
        async with database.reading() as session:
            for read in (service.image_place, service.stored_document):
                with pytest.raises(Problem, match="503"):
                    await read(session, record, second)


async def test_pages_kept_in_memory_are_those_of_the_database(
    tmp_path: Path, home: Path, database_url: str | None
) -> None:
    varied_dataset(tmp_path / "ds")
    async with run_app(make_settings(home, database_url=database_url)) as service:
        dataset = await registered(service, tmp_path / "ds")
        path = f"/v1/datasets/{dataset['id']}/samples"
        first = (await service.client.get(path, params={"limit": 5})).json()
        assert (await service.client.get(path, params={"limit": 5})).json() == first
        revoked = await service.client.post(f"/v1/datasets/{dataset['id']}/revoke-image-urls")
        assert revoked.status_code == 200
        again = (await service.client.get(path, params={"limit": 5})).json()
        assert [item["image_id"] for item in again["items"]] == [item["image_id"] for item in first["items"]]
        urls = [item["image_url"] for item in (first["items"][0], again["items"][0])]
        assert [(await service.client.get(url)).status_code for url in urls] == [403, 200]


def test_the_page_cache_holds_the_newest_up_to_its_size() -> None:
    cache = PageCache(max_bytes=10)
    for name in "abc":
        cache.put(name, name.encode() * 4)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (None, b"bbbb", b"cccc")
    cache.get("b")
    cache.put("d", b"dddd")
    assert (cache.get("b"), cache.get("c"), cache.get("d")) == (b"bbbb", None, b"dddd")


_QUERIES: list[list[tuple[str, str]]] = [
    [],
    [("limit", "3")],
    [("limit", "3"), ("limit", "2"), ("unknown", "1")],
    [("limit", " 4 "), ("text", "scene+NUMBER4 %C3%A9")],
    [("limit", "0")],
    [("limit", "many"), ("cursor", "")],
    [("cursor", "WzVd")],  # [5]
    [("cursor", "WzVd"), ("order", "confidence")],
    [("cursor", "WzAuMywgNV0"), ("order", "confidence"), ("limit", "2")],  # [0.3, 5]
    [("order", "sideways")],
    [("decision", "review"), ("label", "CAT"), ("limit", "1")],
    [("decision", ""), ("label", "")],
    [("kind", "brief_caption"), ("source", "model"), ("split", "train\0")],
    [("min_confidence", "0.2"), ("max_confidence", "5e-1")],
    [("min_confidence", "nan")],
    [("dataset_id", "ds_0"), ("filter", "1"), ("after", "2")],
]


async def test_lists_of_samples_are_equal_on_both_ways(
    tmp_path: Path, home: Path, database_url: str | None
) -> None:
    varied_dataset(tmp_path / "ds")
    settings = make_settings(home, database_url=database_url, key_failures_per_minute=10_000)
    async with run_app(settings) as service:
        dataset = await registered(service, tmp_path / "ds")
        revoked = (await service.client.post("/v1/keys", json={"scopes": ["read"]})).json()
        assert (await service.client.post(f"/v1/keys/{revoked['id']}/revoke")).is_success
        statuses = set()
        for bearer in ("", "Bearer", *(f"Bearer {key}" for key in (*service.keys.values(), revoked["key"]))):
            for dataset_id in (dataset["id"], "ds_0", "ds_%00"):
                for query in _QUERIES if dataset_id == dataset["id"] else _QUERIES[:7:6]:
                    path = f"/v1/datasets/{dataset_id}/samples?{urlencode(query)}"
                    answers = []
                    for header in ({}, {PROJECT_HEADER: "default"}):  # naming its project: the usual way
                        headers = {**header, "Authorization": bearer}
                        answers.append(await service.client.get(path, headers=headers))
                    quick, usual = answers
                    assert (quick.status_code, quick.content) == (usual.status_code, usual.content), path
                    assert quick.headers["content-type"] == usual.headers["content-type"]
                    statuses.add(quick.status_code)
        assert statuses == {200, 401, 404, 422}


async def test_a_review_selects_by_what_the_index_holds(
    tmp_path: Path, home: Path, database_url: str | None
) -> None:
    """PostgreSQL refuses a NUL character: the review would have been tried again for ever."""
    row = make_row(1, folder=tmp_path / "images")
    make_dataset(tmp_path / "ds", [row])
    async with run_app(make_settings(home, database_url=database_url)) as service:
        await registered(service, tmp_path / "ds")
        async with service.context.database.reading() as session:
            number = await session.scalar(select(DatasetRecord.number))
            assert number is not None
        selection = ReviewSelection(split=f"{row.split}\0", label=None, text=None)
        assert await selected_images(service.context.database, number, selection) == {row.image_id}


async def test_terms_are_found_whatever_order_of_texts_the_database_has(
    tmp_path: Path, home: Path, postgres_of_a_language: str
) -> None:
    varied_dataset(tmp_path / "ds")
    async with run_app(make_settings(home, database_url=postgres_of_a_language)) as service:
        await registered(service, tmp_path / "ds")
        async with service.context.database.reading() as session:
            number = await session.scalar(select(DatasetRecord.number))
            assert number is not None
            frequent = await repository.most_frequent_terms(session, number, KIND, 5)
            everything = await count_facets(session, number, SampleFilter())
            of_review = await count_facets(session, number, SampleFilter(decision=Decision.REVIEW))
        assert dict(frequent)["brief_caption"] == 12
        assert everything.terms[KIND]["brief_caption"] == 12
        assert of_review.terms[KIND]["brief_caption"] == 4


async def test_clients_load_a_service_in_a_process_of_its_own(tmp_path: Path, home: Path) -> None:
    varied_dataset(tmp_path / "ds")
    async with run_app(make_settings(home)) as service:
        await registered(service, tmp_path / "ds")
        figures = await measure_load(service.app, clients=3, seconds=0.5)
    assert figures["clients"] == 3
    assert figures["requests"] >= 3
    assert 0 < figures["p50_ms"] <= figures["p99_ms"] <= figures["longest_ms"]
    assert f"{figures['requests_per_s']} requests/s" in load_summary(figures)
