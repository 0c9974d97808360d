"""The tables are what the migrations make, on both databases; many processes may start at once."""

import asyncio
import gc
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from fastapi import FastAPI
from running_service import make_settings
from sqlalchemy import Connection, bindparam, delete, func, insert, select, text

import services.database.review_tables  # noqa: F401 - its tables belong to the same base
from fo1_data.cli.main import main
from fo1_data.cli.serve import run_app
from fo1_data.errors import ConfigError, RunError
from services.app import make_context
from services.database.engine import Database, open_database
from services.database.migrate import migrate, upgrade
from services.database.models import ApiKey, Base, DatasetRecord, Job, JobEvent, UtcTime, utc_now
from services.database.operation_tables import OperationState
from services.operations import repository as operations
from services.security.keys import create_key, first_key
from services.settings import Settings, load_settings


async def test_migrations_make_the_tables_of_the_models(home: Path, database_url: str | None) -> None:
    database = open_database(make_settings(home, database_url=database_url))
    await migrate(database)
    await migrate(database)
    async with database.engine.connect() as connection:
        differences = await connection.run_sync(
            lambda plain: compare_metadata(MigrationContext.configure(plain), Base.metadata)
        )
    await database.dispose()
    assert differences == []


async def test_a_table_made_anew_keeps_the_rows_that_refer_to_it(home: Path) -> None:
    async with open_with_an_event(home) as database:
        async with database.changing_tables() as connection:
            await connection.run_sync(make_jobs_anew)
        assert await count(database, JobEvent) == 1
        async with database.writing() as session:
            await session.execute(delete(Job))
        assert await count(database, JobEvent) == 0, "foreign keys are followed again"


async def test_a_migration_that_loses_rows_changes_nothing(home: Path) -> None:
    async with open_with_an_event(home) as database:
        with pytest.raises(RunError, match="rows of job_events refer to rows of jobs that are not there"):
            async with database.changing_tables() as connection:
                await connection.execute(delete(Job))
                await connection.run_sync(make_jobs_anew)
        assert await count(database, Job) == 1


@asynccontextmanager
async def open_with_an_event(home: Path) -> AsyncIterator[Database]:
    database = open_database(make_settings(home))
    try:
        await migrate(database)
        async with database.writing() as session:
            session.add(Job(id="job_1", state="running", config={}, out="/o"))
            await session.flush()
            session.add(JobEvent(job_id="job_1", kind="state", data={}))
        yield database
    finally:
        await database.dispose()


def make_jobs_anew(connection: Connection) -> None:
    with Operations(MigrationContext.configure(connection)).batch_alter_table("jobs", recreate="always"):
        pass


async def count(database: Database, table: type[Base]) -> int:
    async with database.reading() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


async def test_routings_of_an_earlier_version_become_operations(home: Path, database_url: str | None) -> None:
    database = open_database(make_settings(home, database_url=database_url))
    record = {
        "id": "ds_1", "project_id": "prj_default", "address": "/d", "manifest_sha256": "0", "name": "d",
        "version": "1", "manifest": {}, "state": "ready", "num_samples": 0, "created_at": utc_now(),
    }  # fmt: skip
    routing = {
        "id": "routing_1", "dataset_id": "ds_1", "out": "/o", "calibration": "/c", "max_error": 0.1,
        "audit": 0.0, "state": "succeeded", "error": None, "made_dataset_id": "ds_2", "created_by": "k",
        "created_at": utc_now(), "seen_at": utc_now(),
    }  # fmt: skip
    names = ", ".join(f'"{name}"' for name in routing)
    places = ", ".join(f":{name}" for name in routing)
    add = text(f"INSERT INTO routings ({names}) VALUES ({places})")
    add = add.bindparams(*(bindparam(name, type_=UtcTime()) for name in ("created_at", "seen_at")))
    async with database.engine.execution_options(fo1_write=True).begin() as connection:
        await connection.run_sync(upgrade, "0013")
        await connection.execute(insert(DatasetRecord), [record])
        stopped = {"id": "routing_2", "state": "running", "made_dataset_id": None}
        await connection.execute(add, [routing, {**routing, **stopped}])
    await migrate(database)
    async with database.reading() as session:
        at_work, done = await operations.list_routings(session, "prj_default", "ds_1", 10)
    await database.dispose()
    assert (done.id, at_work.id) == ("op_1", "op_2")
    assert (at_work.state, at_work.error) == (OperationState.FAILED, operations.STOPPED)
    assert (done.state, done.result, done.created_by) == (
        OperationState.SUCCEEDED,
        {"dataset_id": "ds_2"},
        "k",
    )
    assert done.request["out"] == "/o"
    assert done.request["address"] == "/d"


async def test_many_start_at_once_and_one_first_key_is_made(home: Path, database_url: str | None) -> None:
    databases = [open_database(make_settings(home, database_url=database_url)) for _ in range(4)]
    await asyncio.gather(*(migrate(database) for database in databases))

    async def ask(database: object) -> object:
        async with database.writing() as session:  # type: ignore[attr-defined]
            return await first_key(session)

    keys = await asyncio.gather(*(ask(database) for database in databases))
    assert [key is not None for key in keys].count(True) == 1
    for database in databases:
        await database.dispose()


def test_processes_that_start_at_once_make_one_secret(home: Path) -> None:
    script = "from services.settings import load_settings; print(load_settings().secret.decode())"
    environment = {**os.environ, "FO1_HOME": str(home)}
    command = [sys.executable, "-c", script]
    starts = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = [start.communicate(timeout=60) for start in starts]
    assert len({output for output, _ in answers}) == 1
    assert len(answers[0][0].strip()) == 64
    assert [path.name for path in home.iterdir()] == ["secret.key"]


async def test_writers_on_sqlite_wait_for_each_other(home: Path) -> None:
    database = open_database(make_settings(home))
    await migrate(database)

    async def add_after_reading() -> None:
        async with database.writing() as session:
            await session.scalar(select(func.count()).select_from(ApiKey))
            await asyncio.sleep(0)
            await create_key(session, ["read"])

    await asyncio.gather(*(add_after_reading() for _ in range(20)))
    assert await count(database, ApiKey) == 20
    await database.dispose()


async def test_opens_a_file_that_another_process_is_making(home: Path) -> None:
    """SQLite does not wait for a writer's lock when it turns on the write-ahead log, whatever its timeout."""
    database = open_database(make_settings(home))
    with closing(sqlite3.connect(home / "fo1.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        migration = asyncio.create_task(migrate(database))
        await asyncio.wait([migration], timeout=0.3)
        other.execute("COMMIT")
    await migration
    await database.dispose()


async def test_what_fails_half_way_leaves_nothing(home: Path, database_url: str | None) -> None:
    database = open_database(make_settings(home, database_url=database_url))
    await migrate(database)
    with pytest.raises(ZeroDivisionError):
        async with database.writing() as session:
            await create_key(session, ["read"])
            raise ZeroDivisionError
    assert await count(database, ApiKey) == 0
    await database.dispose()


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_query_at_work_leaves_no_connection_behind(
    home: Path, postgres_database: str, cancelled: bool
) -> None:
    """A service that ends has nothing to leave to the garbage collector, nor its server."""

    async def end_in_the_middle() -> None:
        database = open_database(make_settings(home, database_url=postgres_database))
        begun = asyncio.Event()

        async def work() -> None:
            async with database.reading() as session:
                await session.execute(text("SELECT 1"))
                begun.set()
                await session.execute(text("SELECT pg_sleep(0.2)"))

        task = asyncio.create_task(work())
        await begun.wait()
        await asyncio.sleep(0.05)  # the query is on its way
        if cancelled:
            task.cancel()
        await database.dispose()
        await asyncio.wait([task])

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        await end_in_the_middle()
        gc.collect()
    assert [str(warning.message) for warning in seen if "still open" in str(warning.message)] == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"database_url": "mysql://x/y"}, "SQLite or PostgreSQL"),
        ({"database_url": "nonsense"}, "not a database URL"),
        ({"host": "0.0.0.0"}, "FO1_SECRET_KEY"),
        ({"host": "0.0.0.0", "secret_key": "short"}, "FO1_SECRET_KEY"),
        ({"host": "example.org", "secret_key": "a" * 16}, "FO1_STORAGE_ROOTS"),
    ],
)
def test_settings_that_cannot_be_served_are_told(tmp_path: Path, given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings = Settings(home=tmp_path, **given)  # type: ignore[arg-type]
        settings.check_exposure()
        open_database(settings)


def test_settings_of_the_environment_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FO1_STORAGE_ROOTS", "/data")
    with pytest.raises(ConfigError, match="lists are JSON"):
        load_settings()
    monkeypatch.setenv("FO1_STORAGE_ROOTS", '["/data"]')
    monkeypatch.setenv("FO1_PORT", "many")
    with pytest.raises(ConfigError, match="FO1_PORT"):
        load_settings()


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["keys", "list"]])
@pytest.mark.parametrize(
    ("name", "value", "code", "message"),
    [
        ("FO1_HOME", "{folder}/file/home", 2, "cannot be written"),
        ("FO1_DATABASE_URL", "postgresql://fo1@127.0.0.1:9/none", 1, "database cannot be used"),
        ("FO1_DATABASE_URL", "sqlite:///{folder}/file", 1, "database cannot be used"),
    ],
)
def test_what_cannot_be_reached_ends_a_command_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    name: str,
    value: str,
    code: int,
    message: str,
) -> None:
    (tmp_path / "file").write_text("neither a folder nor a database")
    monkeypatch.setenv("FO1_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(name, value.format(folder=tmp_path))
    monkeypatch.setattr(sys, "argv", ["fo1", *command])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    output = capsys.readouterr()
    assert message in output.err
    assert (output.err.count("\n"), output.out) == (1, "")


def test_a_service_that_does_not_start_says_so(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    @asynccontextmanager
    async def failing(app: FastAPI) -> AsyncIterator[None]:
        raise OSError("no more files")
        yield

    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(RunError, match="the service did not start"),
    ):
        app = FastAPI(lifespan=failing)
        app.state.context = make_context(make_settings(home))
        run_app(app, listener, "http://127.0.0.1")
    assert "no more files" in caplog.text


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("::1", "http://[::1]:8080"),
        ("0.0.0.0", f"http://{socket.gethostname()}:8080"),
        ("::", f"http://{socket.gethostname()}:8080"),
        ("label.example.org", "http://label.example.org:8080"),
    ],
)
def test_people_reach_the_service_by_an_address_there_is(tmp_path: Path, host: str, url: str) -> None:
    assert Settings(home=tmp_path, host=host).base_url == url
    assert Settings(home=tmp_path, host=host, public_url="https://x.test/").base_url == "https://x.test"


def test_serve_prints_its_first_key_once_and_ends_in_order(tmp_path: Path) -> None:
    environment = {**os.environ, "FO1_HOME": str(tmp_path / "home"), "FO1_STORAGE_ROOTS": f'["{tmp_path}"]'}
    for name in ("FO1_DATABASE_URL", "FO1_LABEL_STUDIO_URL"):
        environment.pop(name, None)

    def serve_once() -> str:
        command = [sys.executable, "-m", "fo1_data.cli.main", "serve", "--port", "0"]
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell starts what runs in the background with SIGINT ignored, and the tests may be that.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.default_int_handler),
        )
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "serving at http://127.0.0.1:" in line
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=60)
        assert process.returncode == 0, rest
        assert "Traceback" not in rest
        return out

    assert "admin key  fo1_" in serve_once()
    assert "admin key" not in serve_once()
    assert (tmp_path / "home" / "secret.key").stat().st_mode & 0o077 == 0
