"""Requests to the HTTP API, by its OpenAPI document: no fault of the server, errors as documented.

A refused request changes nothing that is stored.
"""

import asyncio
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from factories import make_dataset
from fuzz_target import Broken, Runner, check
from odd_values import ODD_TEXTS, change, changed_text, num_changes, odd_value
from running_service import Running, make_settings, run_app
from small_predictor import predictor_that_says
from sqlalchemy import func, select

from schemas.jobs import RunConfig
from schemas.live import LiveAnswer
from services.database.models import ApiKey, Base
from services.jobs import service as job_service

ANSWER_S = 20.0
_SAID = LiveAnswer(
    image_id="ab" * 32,
    width=10,
    height=8,
    regions=[],
    groundings=[],
    counts=[],
    answers=[],
    caption=None,
    model="m",
    model_sha256="ab",
    warm=False,
    seconds=0.1,
)
# What requests ask for; other tables are filled in the background.
_STATE = ("api_keys", "datasets", "jobs", "operations", "projects", "review_items", "reviews")


@contextmanager
def requests(folder: Path) -> Iterator[Runner]:
    with asyncio.Runner() as loop, predictor_that_says(_SAID) as predictor:
        service = loop.get_loop().run_until_complete
        (folder / "root").mkdir()
        settings = make_settings(
            folder / "home",
            storage_roots=[str(folder / "root")],
            ray_address="http://127.0.0.1:9",
            predict_url=predictor.url,
            reconcile_every_s=600.0,
            max_jobs=100_000,
            key_failures_per_minute=10**9,
        )
        application = run_app(settings)
        running = service(application.__aenter__())
        try:
            api = service(_prepare(running, folder / "root"))
            yield lambda chance: str(service(api.ask(chance)))
        finally:
            service(application.__aexit__(None, None, None))


async def _prepare(running: Running, root: Path) -> "_Api":
    """A service with a dataset, a job and the folder of a corpus."""
    make_dataset(root / "dataset")
    (root / "corpus").mkdir()
    answer = await running.client.post("/v1/datasets", json={"address": str(root / "dataset")})
    dataset = answer.json()["id"]
    async with running.context.database.writing() as session:
        job = await job_service.create(
            session, RunConfig(corpus=str(root), out=str(root / "out")), "somebody"
        )
        key_id = (await session.scalars(select(ApiKey.id))).first()
    while (await running.client.get(f"/v1/datasets/{dataset}")).json()["state"] == "indexing":
        await asyncio.sleep(0.02)
    samples = (await running.client.get(f"/v1/datasets/{dataset}/samples")).json()["items"]
    known = {"dataset": dataset, "job": job.id, "image": samples[0]["image_id"], "key": str(key_id)}
    return _Api(running, root, known)


class _Api:
    """known: ids of things that are there, by what they are of."""

    def __init__(self, running: Running, root: Path, known: dict[str, str]) -> None:
        self._running, self._root, self._known = running, root, known
        self._document = running.app.openapi()
        self._schemas = self._document["components"]["schemas"]
        self._operations = [
            (method, path, operation)
            for path, operations in self._document["paths"].items()
            for method, operation in operations.items()
            if not path.endswith("/events")
        ]

    async def ask(self, chance: random.Random) -> str:
        method, path, operation = chance.choice(self._operations)
        request = self._request(chance, method, path, operation)
        before = await self._state() if method != "get" else None
        try:
            async with asyncio.timeout(ANSWER_S):
                response = await self._running.client.send(request)
            await self._check(response, operation, path, before)
        except TimeoutError:
            raise Broken(
                f"{method} {request.url} is not answered in {ANSWER_S} s: {request.content[:300]!r}"
            ) from None
        except Broken as error:
            error.about = f"{method} {path}:"
            raise
        return f"{response.status_code // 100}xx"

    async def _check(
        self, response: httpx.Response, operation: dict[str, Any], path: str, before: object
    ) -> None:
        status = response.status_code
        sent = response.request.content[:300]
        is_away = status == 503 and (path.endswith("/predict") or "label-studio" in response.text.lower())
        check(status < 500 or is_away or path == "/readyz", status, response.text, sent, response.request.url)
        check(
            str(status) in operation["responses"] or status == 405, status, "is not documented", response.text
        )
        if status < 400:
            return
        if path.startswith(("/v1", "/ml")):
            kind = response.headers.get("content-type")
            check(kind == "application/problem+json", kind, response.text)
            document = response.json()
            check(document["status"] == status and bool(document["title"] and document["detail"]), document)
        check("Traceback" not in response.text, response.text)
        if before is not None:
            check(before == await self._state(), "changed by a refused request:", status, sent)

    async def _state(self) -> list[tuple[str, int]]:
        """How many rows each table has."""
        tables = [Base.metadata.tables[name] for name in _STATE]
        async with self._running.context.database.reading() as session:
            counts = select(*(select(func.count()).select_from(table).scalar_subquery() for table in tables))
            return list(
                zip((table.name for table in tables), (await session.execute(counts)).one(), strict=True)
            )

    def _request(
        self, chance: random.Random, method: str, path: str, operation: dict[str, Any]
    ) -> httpx.Request:
        query, headers = {}, {}
        for parameter in operation.get("parameters", []):
            name, schema = parameter["name"], parameter.get("schema", {})
            if parameter["in"] == "path":
                path = path.replace(f"{{{name}}}", quote(self._id(name, chance), safe=""))
            elif chance.random() < 0.4:
                place = query if parameter["in"] == "query" else headers
                place[name] = _as_text(self._value(schema, chance, 0))
        if chance.random() < 0.1:
            headers["Authorization"] = chance.choice(
                ("", "Bearer x", *map("Bearer {}".format, self._running.keys.values()))
            )
        if chance.random() < 0.05:
            headers["Accept"] = chance.choice(("text/html", "*/*", "x"))
        safe = {
            name: quote(value.encode("utf-8", "replace"), safe=" -./:;=@_") for name, value in headers.items()
        }
        content, kind = None, None
        if "requestBody" in operation:
            content, kind = self._body(operation, chance)
        if kind is not None:
            safe.setdefault("Content-Type", kind)
        clean = {name: value.encode("utf-8", "replace").decode() for name, value in query.items()}
        return self._running.client.build_request(
            method.upper(), path, params=clean or None, headers=safe, content=content
        )

    def _id(self, name: str, chance: random.Random) -> str:
        known = self._known.get(name.removesuffix("_id"))
        if known is not None and chance.random() < 0.7:
            return known
        text = chance.choice((*ODD_TEXTS, "job_x", "a" * 64, *self._known.values()))
        text = changed_text(text, chance) if chance.random() < 0.3 else text
        return text.encode("utf-8", "replace").decode() or "x"

    def _body(self, operation: dict[str, Any], chance: random.Random) -> tuple[bytes, str]:
        kinds = operation["requestBody"]["content"]
        kind = chance.choice(list(kinds))
        document = [self._value(kinds[kind].get("schema", {}), chance, 0)]
        change(document, chance, num_changes(chance) // 2)
        if kind == "multipart/form-data":
            return json.dumps(document[:1], default=str).encode(), chance.choice(
                (kind, f"{kind}; boundary=x")
            )
        if chance.random() < 0.02:
            return chance.choice((b"", b"{", b"\xff", b"[" * 20_000, b"null")), kind
        data = json.dumps(document[0] if document else None, default=str).encode()
        return data, kind if chance.random() < 0.97 else "text/plain"

    def _value(self, schema: dict[str, Any], chance: random.Random, depth: int) -> Any:
        """A value of a schema, mostly valid."""
        if chance.random() < 0.04 or depth > 5:
            return odd_value(chance)
        if "$ref" in schema:
            return self._value(self._schemas[schema["$ref"].rpartition("/")[2]], chance, depth + 1)
        for key in ("anyOf", "oneOf", "allOf"):
            if key in schema:
                return self._value(chance.choice(schema[key]), chance, depth + 1)
        if "enum" in schema or "const" in schema:
            return chance.choice(schema.get("enum") or [schema["const"]])
        if "default" in schema and chance.random() < 0.5:
            return schema["default"]
        kind = schema.get("type")
        if kind == "object":
            required = schema.get("required", [])
            return {
                name: self._member(name, part, chance, depth)
                for name, part in schema.get("properties", {}).items()
                if name in required or chance.random() < 0.25
            }
        if kind == "array":
            return [
                self._value(schema.get("items", {}), chance, depth + 1) for _ in range(chance.randint(0, 3))
            ]
        if kind in ("integer", "number"):
            least = int(schema.get("minimum", 0))
            number = chance.randint(least, max(least, int(schema.get("maximum", least + 50))))
            return number if kind == "integer" else number + chance.random()
        if kind == "boolean":
            return chance.random() < 0.5
        return chance.choice(("x", "cat", "2026-01-01", *self._known.values(), *ODD_TEXTS))

    def _member(self, name: str, schema: dict[str, Any], chance: random.Random, depth: int) -> Any:
        """A value of a field; of one that names a place, mostly a place that is there."""
        places = {"corpus": "corpus", "out": f"out{chance.randrange(10**9)}", "address": "dataset"}
        if name in places and chance.random() < 0.8:
            return str(self._root / places[name])
        if name.removesuffix("_id") in self._known and chance.random() < 0.7:
            return self._known[name.removesuffix("_id")]
        return self._value(schema, chance, depth + 1)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
