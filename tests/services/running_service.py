"""A running application, called without a socket, with a key of each scope."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from services.app import create_app
from services.context import Context
from services.security.keys import Scope, create_key
from services.settings import Settings


@dataclass
class Running:
    """A running application with a key of each scope. `client` sends the admin key."""

    app: FastAPI
    context: Context
    client: httpx.AsyncClient
    keys: dict[str, str]

    def bearer(self, scope: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[scope]}"}


def make_settings(home: Path, **more: Any) -> Settings:
    """Return settings that ignore the environment."""
    given: dict[str, Any] = {
        "home": home,
        "storage_roots": [str(home.parent)],
        "secret_key": "a secret of sixteen and more",
        "reconcile_every_s": 0.2,
        "driver_lost_after_s": 3.0,
        "public_url": "http://service.test",
    }
    return Settings(**{**given, **more})


@asynccontextmanager
async def run_app(settings: Settings) -> AsyncIterator[Running]:
    """Run the application with its background work, called without a socket."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        context: Context = app.state.context
        async with context.database.writing() as session:
            keys = {scope.value: (await create_key(session, [scope])).key for scope in Scope}
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {keys['admin']}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://service.test", headers=headers
        ) as client:
            yield Running(app, context, client, keys)
