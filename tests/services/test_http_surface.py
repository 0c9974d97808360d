"""What holds for every answer: problem documents, headers, limits of bodies, cursors, idempotency."""

import asyncio
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from factories import make_dataset
from running_service import make_settings, run_app
from sqlalchemy import func, select

from services.database.models import DatasetRecord, Job
from services.paging import cursor_of


def job_body(folder: Path, name: str = "out") -> dict[str, Any]:
    """A job that is well asked for."""
    (folder / "corpus").mkdir(exist_ok=True)
    return {"corpus": str(folder / "corpus"), "out": str(folder / name)}


async def test_errors_are_problem_documents_and_answers_carry_headers(home: Path) -> None:
    async with run_app(make_settings(home)) as service:
        asked = [
            await service.client.get("/v1/nowhere"),
            await service.client.delete("/v1/jobs"),
            await service.client.get("/v1/jobs/job_unknown"),
            await service.client.get("/v1/jobs", params={"limit": 0}),
            await service.client.get("/v1/jobs", params={"cursor": "bm9uc2Vuc2U"}),
            await service.client.post("/v1/jobs", content=b"{", headers={"content-type": "application/json"}),
        ]
        assert [answer.status_code for answer in asked] == [404, 405, 404, 422, 404, 422]
        for answer in asked:
            assert answer.headers["content-type"] == "application/problem+json"
            document = answer.json()
            assert document["status"] == answer.status_code
            assert document["title"]
            assert document["detail"]
            assert "Traceback" not in answer.text
        for answer in [*asked, await service.client.get("/healthz"), await service.client.get("/v1/jobs")]:
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["cache-control"] == "no-store"


async def test_bodies_over_the_limit_are_refused_whether_or_not_they_say_so(home: Path) -> None:
    async with run_app(make_settings(home, max_body_bytes=2000)) as service:
        large = json.dumps({"corpus": "x" * 3000, "out": "y"}).encode()

        async def pieces() -> Any:
            for start in range(0, len(large), 100):
                yield large[start : start + 100]

        for content in (large, pieces()):
            answer = await service.client.post(
                "/v1/jobs", content=content, headers={"content-type": "application/json"}
            )
            assert answer.status_code == 413
            assert answer.headers["content-type"] == "application/problem+json"


async def test_a_creating_post_repeated_under_its_key_creates_once(
    tmp_path: Path, home: Path, database_url: str | None
) -> None:
    make_dataset(tmp_path / "ds")
    make_dataset(tmp_path / "other")
    async with run_app(make_settings(home, database_url=database_url)) as service:
        body = {"address": str(tmp_path / "ds")}
        answers = await asyncio.gather(
            *(
                service.client.post("/v1/datasets", json=body, headers={"Idempotency-Key": "one"})
                for _ in range(6)
            )
        )
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
        again = await service.client.post("/v1/datasets", json=body, headers={"Idempotency-Key": "one"})
        assert (again.status_code, again.headers["idempotent-replay"]) == (201, "true")
        other = await service.client.post(
            "/v1/datasets", json={"address": str(tmp_path / "other")}, headers={"Idempotency-Key": "one"}
        )
        assert other.status_code == 422
        # A repeat is answered as the first was, whatever has become of the things since.
        shutil.rmtree(tmp_path / "ds")
        again = await service.client.post("/v1/datasets", json=body, headers={"Idempotency-Key": "one"})
        assert (again.status_code, again.headers["idempotent-replay"]) == (201, "true")
        async with service.context.database.reading() as session:
            assert await session.scalar(select(func.count()).select_from(DatasetRecord)) == 1


async def test_a_push_repeated_under_its_key_is_answered_whatever_has_become_of_the_dataset(
    tmp_path: Path, home: Path
) -> None:
    make_dataset(tmp_path / "ds")
    # A Label Studio that nobody answers for: the review waits.
    settings = make_settings(home, label_studio_url="http://127.0.0.1:9", label_studio_token="t" * 40)
    async with run_app(settings) as service:
        body, key = {"dataset": str(tmp_path / "ds")}, {"Idempotency-Key": "one"}
        first = await service.client.post("/v1/reviews", json=body, headers=key)
        assert first.status_code == 201, first.text
        shutil.rmtree(tmp_path / "ds")
        again = await service.client.post("/v1/reviews", json=body, headers=key)
        assert (again.status_code, again.headers.get("idempotent-replay")) == (201, "true")
        assert again.json() == first.json()


async def test_jobs_are_paged_by_cursor_newest_first(
    tmp_path: Path, home: Path, database_url: str | None
) -> None:
    # A Ray that nobody answers for: the jobs wait.
    settings = make_settings(home, database_url=database_url, ray_address="http://127.0.0.1:9")
    async with run_app(settings) as service:
        made = []
        for at in range(7):
            answer = await service.client.post("/v1/jobs", json=job_body(tmp_path, f"out{at}"))
            assert answer.status_code == 201, answer.text
            made.append(answer.json()["id"])
        pages, cursor = [], None
        while True:
            query = {"limit": 3, **({"cursor": cursor} if cursor else {})}
            page = (await service.client.get("/v1/jobs", params=query)).json()
            pages.append([job["id"] for job in page["items"]])
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert [len(page) for page in pages] == [3, 3, 1]
        assert sorted(itertools.chain(*pages)) == sorted(made)
        assert list(itertools.chain(*pages)) == sorted(made, reverse=True)
        assert (await service.client.get("/v1/jobs", params={"state": "failed"})).json()["items"] == []


async def test_a_second_job_on_the_same_folder_is_refused(tmp_path: Path, home: Path) -> None:
    async with run_app(make_settings(home, ray_address="http://127.0.0.1:9")) as service:
        assert (await service.client.post("/v1/jobs", json=job_body(tmp_path))).status_code == 201
        answer = await service.client.post("/v1/jobs", json=job_body(tmp_path))
        assert answer.status_code == 409
        async with service.context.database.reading() as session:
            assert await session.scalar(select(func.count()).select_from(Job)) == 1


BAD_CURSORS = [
    [2**63],
    [-(2**70)],
    ["job\0"],
    ["\ud800"],
    [float("inf")],
    [float("nan"), 1],
    [1e400, 1],
    [[1]],
]


async def test_what_no_database_holds_is_refused(
    tmp_path: Path, home: Path, database_url: str | None
) -> None:
    make_dataset(tmp_path / "ds")
    async with run_app(make_settings(home, database_url=database_url)) as service:
        found = await service.client.post("/v1/datasets", json={"address": str(tmp_path / "ds")})
        samples = f"/v1/datasets/{found.json()['id']}/samples"
        for values in BAD_CURSORS:
            query = {"cursor": cursor_of(*values)}
            for path in ("/v1/jobs", "/v1/datasets", samples, f"{samples}?order=confidence"):
                answer = await service.client.get(path, params=query)
                assert answer.status_code == 404, (path, values, answer.text)
        for query in ({"text": "a\0b"}, {"label": "a\0b"}, {"text": "\0"}, {"label": "\0"}):
            assert (await service.client.get(samples, params=query)).status_code == 200, query
        nul = {"dataset": "ds_\0", "name": "a\0b", "title": "no\0 title"}
        asked = [
            await service.client.get(f"/v1/videos/{'ab' * 32}", params={"dataset": "\0"}),
            await service.client.post("/v1/keys", json={"scopes": ["read"], "name": nul["name"]}),
            await service.client.post("/v1/reviews", json={"dataset": nul["dataset"]}),
            await service.client.post(
                "/v1/reviews", json={"dataset": found.json()["id"], "title": nul["title"]}
            ),
        ]
        assert [answer.status_code for answer in asked] == [422] * 4
        login = await service.client.post("/login", data={"key": service.keys["admin"]})
        assert login.status_code == 303
        for path in (
            "/jobs/new?like=%00",
            "/jobs/new?plan=%00",
            f"/datasets/{found.json()['id']}/samples/%00",
        ):
            assert (await service.client.get(path)).status_code == 422, path
        long = {
            "corpus": f"{tmp_path}/{'x' * 300}",
            "out": f"{tmp_path}/{'y/' * 4000}z",
            "model": f"/{'m' * 300}",
        }
        answers = [
            await service.client.post("/v1/jobs", json={**job_body(tmp_path), key: value})
            for key, value in long.items()
        ]
        answers.append(await service.client.post("/v1/datasets", json={"address": long["corpus"]}))
        answers.append(await service.client.post("/v1/predict", json={"image": long["corpus"]}))
        assert [answer.status_code for answer in answers] == [403] * 5


BAD_JOBS: dict[str, tuple[dict[str, Any], int, str]] = {
    "outside": ({"corpus": "/etc"}, 403, "corpus"),
    "link": ({"corpus": "{root}/link"}, 403, "corpus"),
    "relative": ({"corpus": "corpus"}, 403, "corpus"),
    "out outside": ({"out": "/var/elsewhere"}, 403, "out"),
    "out by dots": ({"out": "{root}/../elsewhere"}, 403, "out"),
    "glob outside": ({"corpus": "/etc/*.conf"}, 403, "corpus"),
    "other bucket": ({"out": "s3://bucket/x"}, 403, "out"),
    "model outside": ({"model": "/usr"}, 403, "model"),
    "masks outside": ({"masks": "/usr"}, 403, "masks"),
    "weights of the web": ({"model": "https://example.org/model"}, 403, "model"),
    "gone": ({"corpus": "{root}/gone"}, 404, "corpus"),
    "calibration gone": ({"calibration": "{root}/c.json"}, 404, "calibration"),
    "unknown model": ({"model": "no-such-model"}, 422, "model"),
    "no checkpoint": ({"model": "{root}/corpus"}, 422, "model"),
    "another cluster": ({"address": "ray://elsewhere:10001"}, 422, "address"),
    "too many actors": ({"actors": "4000"}, 422, "actors"),
    "unknown setting": ({"colour": "red"}, 422, "colour"),
    "needs a vocabulary": ({"labels": ["detect"]}, 422, "vocabulary"),
    "out of range": ({"shard_size": 0}, 422, "shard_size"),
    "no settings": ({"corpus": None}, 422, "corpus"),
    "NUL": ({"name": "a\0b"}, 403, "name"),
}


@pytest.fixture
def refused_jobs(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to("/etc")
    return root


async def test_jobs_are_checked_completely(refused_jobs: Path, home: Path) -> None:
    async with run_app(make_settings(home, storage_roots=[str(refused_jobs)])) as service:
        for name, (wrong, status, field) in BAD_JOBS.items():
            body = job_body(refused_jobs)
            body |= {
                key: value.replace("{root}", str(refused_jobs)) if isinstance(value, str) else value
                for key, value in wrong.items()
            }
            answer = await service.client.post("/v1/jobs", json=body)
            assert answer.status_code == status, (name, answer.text)
            assert field in answer.json()["detail"], (name, answer.text)


BAD_BODIES: dict[str, tuple[bytes, str, str]] = {
    "cut off": (b'{"corpus": "x", ', "application/json", "the body is not JSON"),
    "nothing": (b"", "application/json", "the body must be sent with Content-Type"),
    "a list": (b"[1]", "application/json", "a JSON object"),
    "no type": (b"{}", "text/plain", "Content-Type: application/json"),
    "misspelt": (b'{"lables": []}', "application/json", "lables: is not known here"),
    "a form": (b'{"actors": "many"}', "application/json", "actors: must be a number such as 4"),
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_a_body_of_another_form_is_told_in_words(name: str, home: Path) -> None:
    body, kind, told = BAD_BODIES[name]
    async with run_app(make_settings(home)) as service:
        answer = await service.client.post("/v1/jobs", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 422
    assert told in answer.json()["detail"], answer.text
    assert all(not error["field"].isdigit() for error in answer.json()["errors"])
