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

# What each operation of the API needs; what needs nothing is in OPEN. A new route has to be put here.
NEEDS = {
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
}
OPEN = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/webhooks/label-studio"}
VALUES = {"job_id": "job_0", "dataset_id": "ds_0", "image_id": "0" * 64, "review_id": "rev_0"}


def routes_of(service: Running) -> Iterator[tuple[str, str]]:
    """Method and path of every operation under /v1 and /ml."""
    for path, operations in service.app.openapi()["paths"].items():
        if path.startswith("/v1") and path not in OPEN:
            yield from ((method.upper(), path) for method in operations)


async def ask(service: Running, method: str, path: str, key: str | None) -> Any:
    url = path.format(**VALUES)
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {"Authorization": ""}
    return await service.client.request(method, url, headers=headers, json={} if method == "POST" else None)


async def test_every_route_wants_a_key_with_its_scope(home: Path) -> None:
    async with run_app(make_settings(home, key_failures_per_minute=10_000)) as service:
        async with service.context.database.writing() as session:
            revoked = await create_key(session, [Scope.ADMIN])
            await revoke_key(session, revoked.id)
        routes = list(routes_of(service))
        assert {route for route in routes if "review" not in route[1] and "predict" not in route[1]} == set(
            NEEDS
        )
        wrong = service.keys["admin"][:-1] + ("A" if service.keys["admin"][-1] != "A" else "B")
        for method, path in routes:
            for key in (None, "", "nonsense", wrong, revoked.key, "fo1_000000000000_" + "x" * 43):
                answer = await ask(service, method, path, key)
                assert answer.status_code == 401, (method, path, key, answer.text)
                assert "www-authenticate" in answer.headers
                if method != "HEAD":
                    assert answer.headers["content-type"] == "application/problem+json"
        for (method, path), needed in NEEDS.items():
            for scope, key in service.keys.items():
                answer = await ask(service, method, path, key)
                may = scope in (needed, "admin") or needed is Scope.READ
                assert (answer.status_code != 403) == may, (method, path, scope, answer.text)
                assert answer.status_code in ((403,) if not may else (200, 204, 404, 422)), answer.text


async def test_wrong_keys_are_slowed_down_and_right_ones_are_not(home: Path) -> None:
    async with run_app(make_settings(home, key_failures_per_minute=5)) as service:
        answers = [await ask(service, "GET", "/v1/jobs", f"wrong-{at}") for at in range(8)]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 3
        assert int(answers[-1].headers["retry-after"]) > 0
        assert (await ask(service, "GET", "/v1/jobs", service.keys["read"])).status_code == 200


def test_failures_are_forgotten_after_a_minute() -> None:
    clock = [0.0]
    limit = FailureLimit(2, lambda: clock[0])
    assert [limit.failed("a"), limit.failed("a")] == [None, None]
    assert limit.failed("a") == 60.0
    assert limit.failed("b") is None
    clock[0] = 60.5
    assert limit.failed("a") is None


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
