"""Every route of the service, asked without a key, with a wrong or revoked one, and with too little scope."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_service import Running, make_settings, run_app
from sqlalchemy import select

from services.database.models import ApiKey
from services.security.failure_limit import FailureLimit
from services.security.keys import Scope, create_key, find_caller, revoke_key

LABEL_OR_REVIEW = (Scope.LABEL, Scope.REVIEW)
# What each operation of the API needs; what needs nothing is in OPEN, what needs a login in neither of them.
# A new operation of the API has to be put here.
NEEDS: dict[tuple[str, str], Scope | tuple[Scope, ...]] = {
    ("POST", "/v1/jobs"): Scope.LABEL,
    ("GET", "/v1/jobs"): Scope.READ,
    ("GET", "/v1/jobs/{job_id}"): Scope.READ,
    ("POST", "/v1/jobs/{job_id}/cancel"): Scope.LABEL,
    ("POST", "/v1/jobs/{job_id}/resume"): Scope.LABEL,
    ("GET", "/v1/jobs/{job_id}/events"): Scope.READ,
    ("POST", "/v1/datasets"): Scope.LABEL,
    ("GET", "/v1/datasets"): Scope.READ,
    ("GET", "/v1/datasets/{dataset_id}"): Scope.READ,
    ("GET", "/v1/datasets/{dataset_id}/samples"): Scope.READ,
    ("GET", "/v1/datasets/{dataset_id}/samples/{image_id}"): Scope.READ,
    ("POST", "/v1/datasets/{dataset_id}/revoke-image-urls"): Scope.ADMIN,
    ("GET", "/v1/images/{image_id}"): Scope.READ,
    ("HEAD", "/v1/images/{image_id}"): Scope.READ,
    ("GET", "/v1/videos/{video_id}"): Scope.READ,
    ("HEAD", "/v1/videos/{video_id}"): Scope.READ,
    ("POST", "/v1/reviews"): Scope.REVIEW,
    ("GET", "/v1/reviews"): Scope.READ,
    ("GET", "/v1/reviews/{review_id}"): Scope.READ,
    ("POST", "/v1/reviews/{review_id}/pull"): Scope.REVIEW,
    ("GET", "/v1/reviews/{review_id}/corrections"): Scope.READ,
    ("GET", "/v1/reviews/{review_id}/set-aside"): Scope.READ,
    ("POST", "/v1/reviews/{review_id}/take-in"): Scope.REVIEW,
    ("POST", "/v1/predict"): LABEL_OR_REVIEW,
    ("POST", "/v1/plans"): Scope.LABEL,
    ("POST", "/v1/merges"): Scope.REVIEW,
    ("POST", "/v1/routings"): Scope.LABEL,
    ("POST", "/v1/comparisons"): Scope.READ,
    ("GET", "/v1/operations"): Scope.READ,
    ("GET", "/v1/operations/{operation_id}"): Scope.READ,
    ("DELETE", "/v1/jobs/{job_id}"): Scope.LABEL,
    ("DELETE", "/v1/datasets/{dataset_id}"): Scope.LABEL,
    ("GET", "/v1/keys"): Scope.ADMIN,
    ("POST", "/v1/keys"): Scope.ADMIN,
    ("POST", "/v1/keys/{key_id}/revoke"): Scope.ADMIN,
    ("GET", "/v1/projects"): Scope.ADMIN,
    ("POST", "/v1/projects"): Scope.ADMIN,
    ("POST", "/ml/setup"): LABEL_OR_REVIEW,
    ("POST", "/ml/predict"): LABEL_OR_REVIEW,
    ("POST", "/ml/webhook"): LABEL_OR_REVIEW,
}
OPEN = {
    "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/static/{name}", "/login", "/ml/health",
    "/v1/webhooks/label-studio",  # Label Studio's secret, or a key: its own tests
}  # fmt: skip
VALUES = {
    "job_id": "job_0",
    "dataset_id": "ds_0",
    "video_id": "0" * 64,
    "image_id": "0" * 64,
    "review_id": "rev_0",
    "key_id": "0" * 12,
    "operation_id": "op_0",
}


def routes_of(service: Running) -> Iterator[tuple[str, str]]:
    """Method and path of every route there is, documented or not."""
    for found in service.app.routes:
        for route in getattr(getattr(found, "original_router", None), "routes", [found]):
            yield from ((method, route.path) for method in route.methods)


async def ask(service: Running, method: str, path: str, key: str | None) -> Any:
    url = path.format(**VALUES)
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {"Authorization": ""}
    return await service.client.request(method, url, headers=headers, json={} if method == "POST" else None)


async def test_every_route_wants_a_key_with_its_scope(home: Path) -> None:
    async with run_app(make_settings(home, key_failures_per_minute=10_000)) as service:
        async with service.context.database.writing() as session:
            revoked = await create_key(session, [Scope.ADMIN])
            await revoke_key(session, revoked.id)
        routes = [route for route in routes_of(service) if route[1] not in OPEN]
        of_api = [route for route in routes if route[1].startswith(("/v1", "/ml"))]
        assert len(routes) > len(of_api) + 10
        assert set(of_api) == set(NEEDS)
        wrong = service.keys["admin"][:-1] + ("A" if service.keys["admin"][-1] != "A" else "B")
        for method, path in of_api:
            for key in (None, "", "nonsense", wrong, revoked.key, "fo1_000000000000_" + "x" * 43):
                answer = await ask(service, method, path, key)
                assert answer.status_code == 401, (method, path, key, answer.text)
                assert "www-authenticate" in answer.headers
                if method != "HEAD":
                    assert answer.headers["content-type"] == "application/problem+json"
        for (method, path), needed in NEEDS.items():
            for scope, key in service.keys.items():
                answer = await ask(service, method, path, key)
                enough = needed if isinstance(needed, tuple) else (needed,)
                may = scope in (*enough, "admin") or needed is Scope.READ
                assert (answer.status_code != 403) == may, (method, path, scope, answer.text)
                assert answer.status_code in ((403,) if not may else (200, 204, 404, 422)), answer.text
        for method, path in set(routes) - set(of_api):
            answer = await ask(service, method, path, None)
            assert answer.status_code == 303, (method, path, answer.text)
            assert answer.headers["location"].startswith("/login?to=")


BAD_BODIES = (b"{", b"[1,", b"\xff\xfe", b'"text"', b"{}")


async def test_who_asks_is_judged_before_what_is_asked(home: Path) -> None:
    async with run_app(make_settings(home)) as service:

        async def status(method: str, url: str, key: str | None, body: bytes | None = None) -> int:
            headers = {"Authorization": f"Bearer {service.keys[key]}" if key else ""}
            sent = headers | {"Content-Type": "application/json"}
            answer = await service.client.request(method, url, content=body, headers=sent)
            return answer.status_code

        for method, path in NEEDS:
            url = path.format(**VALUES)
            if method == "POST":
                assert [await status(method, url, None, body) for body in BAD_BODIES] == [401] * 5, path
        for body in BAD_BODIES:
            assert await status("POST", "/v1/jobs", "review", body) == 403
        assert await status("POST", "/v1/jobs", "label", b"{") == 422
        webhook = "/v1/webhooks/label-studio"
        assert [await status("POST", webhook, None, body) for body in BAD_BODIES] == [401] * 5
        assert [await status("POST", webhook, "review", body) for body in BAD_BODIES] == [422] * 4 + [202]
        unknown = [("GET", "/v1/nowhere"), ("PUT", "/v1/jobs"), ("GET", "/v1/images/no-id")]
        unknown += [("GET", "/v1/jobs?limit=0"), ("GET", "/v1/jobs/no-id")]
        assert [await status(method, url, None) for method, url in unknown] == [401] * 5
        assert [await status(method, url, "read") for method, url in unknown] == [404, 405, 422, 422, 422]


async def test_wrong_keys_are_slowed_down_and_right_ones_are_not(home: Path) -> None:
    async with run_app(make_settings(home, key_failures_per_minute=5)) as service:
        answers = [await ask(service, "GET", "/v1/jobs", f"wrong-{at}") for at in range(8)]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 3
        assert int(answers[-1].headers["retry-after"]) > 0
        assert (await ask(service, "POST", "/ml/setup", "wrong")).status_code == 429
        assert (await ask(service, "GET", "/v1/jobs", service.keys["read"])).status_code == 200


def test_failures_are_forgotten_after_a_minute() -> None:
    clock = [0.0]
    limit = FailureLimit(2, lambda: clock[0])
    assert [limit.record("a"), limit.record("a")] == [None, None]
    assert limit.record("a") == 60.0
    assert limit.record("b") is None
    clock[0] = 60.5
    assert limit.record("a") is None


async def test_a_key_is_nowhere_to_be_read(
    home: Path, database_url: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with run_app(make_settings(home, database_url=database_url)) as service:
        key = service.keys["review"]
        await ask(service, "GET", "/v1/jobs", key)
        await ask(service, "GET", "/v1/jobs", key + "x")
        secret = key.rpartition("_")[2] if key.count("_") == 2 else key.split("_", 2)[2]
        async with service.context.database.reading() as session:
            kept = (await session.scalars(select(ApiKey).where(ApiKey.id == key.split("_")[1]))).one()
            assert kept.secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()
            assert (await find_caller(session, key)) is not None
        assert secret not in caplog.text
        assert secret not in service.context.metrics.render().decode()
    for path in home.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path
