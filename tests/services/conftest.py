"""Databases for the service: SQLite, and a real PostgreSQL started for the session."""

import asyncio
import inspect
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from postgres_server import PostgresServer, postgres_binaries, postgres_running


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL of this session. A test that stops it starts it again."""
    binaries = postgres_binaries()
    if binaries is None:
        if os.environ.get("CI") == "true":
            pytest.fail("PostgreSQL's server is not installed: apt-get install postgresql")
        pytest.skip("no PostgreSQL: its programs initdb and postgres are not installed")
    with postgres_running(binaries) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """The maintenance database of the session's PostgreSQL."""
    return postgres_server.url


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """Return a fresh database of the server."""
    yield from _database(postgres_url, "")


@pytest.fixture
def postgres_of_a_language(postgres_url: str) -> Iterator[str]:
    """Return a fresh database that orders texts as a language does, not by code points."""
    order = "LOCALE_PROVIDER icu ICU_LOCALE 'und-u-kr-zzzz-latn' LOCALE 'C.UTF-8'"
    yield from _database(postgres_url, f"TEMPLATE template0 {order}")


def _database(postgres_url: str, options: str) -> Iterator[str]:
    name = f"fo1_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} {options}")  # type: ignore[arg-type]
    yield postgres_url.rpartition("/")[0] + f"/{name}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """None for the SQLite of the settings' home, else a fresh database of a real PostgreSQL."""
    return None if request.param == "sqlite" else str(request.getfixturevalue("postgres_database"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test on its own event loop."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
