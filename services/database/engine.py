"""The async engine on SQLite (WAL) or PostgreSQL, and sessions that commit at the end of their block.

On SQLite a writing session takes the write lock at its start (BEGIN IMMEDIATE), so that two writers wait for
each other instead of failing half way. `Database.read` is the quick way for frequent reads: one step into a
thread, where all queries of a request run without a transaction, instead of several steps for each query.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.util import await_only, greenlet_spawn

from fo1_data.errors import ConfigError, RunError
from services.home import DATABASE_FILE, make_home, open_private
from services.settings import Settings

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}
_BUSY_TIMEOUT_MS = 15_000
_LOG_MODE_TRY_MS, _LOG_MODE_PAUSE_S = 100, 0.02
_READERS = 4
_COMMON_PRAGMAS = (f"busy_timeout = {_BUSY_TIMEOUT_MS}", "cache_size = -32000", "mmap_size = 268435456")
Found = TypeVar("Found")


class Database:
    """The engine with its two kinds of session, and the engine of quick reads (`reader`)."""

    def __init__(self, engine: AsyncEngine, reader: Engine) -> None:
        self.engine, self.reader = engine, reader
        self._threads = ThreadPoolExecutor(_READERS, "fo1-read")
        self.is_sqlite = engine.dialect.name == "sqlite"
        writing = engine.execution_options(fo1_write=True)
        self._reading = async_sessionmaker(engine, expire_on_commit=False)
        self._writing = async_sessionmaker(writing, expire_on_commit=False)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session that only reads."""
        async with self._reading() as session:
            yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """A session that commits when its block ends, and rolls back if the block raises."""
        async with self._writing() as session, session.begin():
            yield session

    @asynccontextmanager
    async def changing_tables(self) -> AsyncIterator[AsyncConnection]:
        """A connection for migrations, in a transaction that commits when its block ends.

        On SQLite, Alembic changes a table by making it anew and dropping the old one. This would delete all
        rows that refer to it with ON DELETE CASCADE. So foreign keys are not followed here, but checked at
        the end. Raises RunError if rows refer to rows that are not there; nothing is changed then.
        """
        options = {"fo1_write": True, "fo1_tables": True}
        async with self.engine.execution_options(**options).connect() as connection:
            try:
                async with connection.begin():
                    before = await self._schema_version(connection)
                    yield connection
                    if await self._schema_version(connection) != before:
                        await _check_foreign_keys(connection)
            finally:
                await connection.invalidate()  # the next user of a connection has foreign keys followed

    async def _schema_version(self, connection: AsyncConnection) -> int | None:
        return await connection.scalar(text("PRAGMA schema_version")) if self.is_sqlite else None

    async def read(self, query: Callable[[Connection], Found]) -> Found:
        """Return what `query` finds with a connection, in a thread. It must only read: it may run twice."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, query)

    def _read(self, query: Callable[[Connection], Found]) -> Found:
        try:
            with self.reader.connect() as connection:
                return query(connection)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        with self.reader.connect() as connection:  # the server was restarted: the pool has begun anew
            return query(connection)

    async def dispose(self) -> None:
        """Close every connection. A connection in use is closed when its session ends."""
        await asyncio.to_thread(self._threads.shutdown)
        self.reader.dispose()
        pool = self.engine.sync_engine.pool
        await self.engine.dispose()
        # The engine no longer owns this pool, so close the connections that are returned to it from now on.
        event.listen(pool, "checkin", _close)
        await greenlet_spawn(pool.dispose)


def database_url(settings: Settings) -> str:
    """Return the database's URL with the async driver. Raises ConfigError if it is not supported."""
    if settings.database_url is None:
        return f"{_DRIVERS['sqlite']}:///{settings.home / DATABASE_FILE}"
    try:
        url = make_url(settings.database_url)
        settings.database_url.encode("utf-8")
    except (ArgumentError, ValueError):
        raise ConfigError(
            "FO1_DATABASE_URL is not a database URL, such as postgresql://user@host/name"
        ) from None
    driver = _DRIVERS.get(url.get_backend_name())
    if driver is None:
        raise ConfigError(
            f"FO1_DATABASE_URL: {url.get_backend_name()} is not supported: use SQLite or PostgreSQL"
        )
    return url.set(drivername=driver).render_as_string(hide_password=False)


def open_database(settings: Settings) -> Database:
    """Return the database of the settings. It connects at the first use."""
    url = make_url(database_url(settings))
    reader_options: dict[str, Any] = {
        "isolation_level": "AUTOCOMMIT",
        "pool_size": _READERS,
        "max_overflow": 0,
        "pool_reset_on_return": None,
    }
    if url.get_backend_name() != "sqlite":
        lost = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
        engine = create_async_engine(
            url, pool_pre_ping=True, pool_size=10, max_overflow=10, pool_timeout=10, connect_args=lost
        )
        return Database(engine, create_engine(url, connect_args=lost, **reader_options))
    if url.database and url.database != ":memory:":
        make_home(Path(url.database).parent)
        _make_private(Path(url.database))
    engine = create_async_engine(url, pool_size=8, max_overflow=8)
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    reader = create_engine(url.set(drivername="sqlite"), **reader_options)
    event.listen(reader, "connect", _set_up_sqlite_reader)
    return Database(engine, reader)


async def _check_foreign_keys(connection: AsyncConnection) -> None:
    lost = (await connection.execute(text("PRAGMA foreign_key_check"))).all()
    if lost:
        tables = " and ".join(sorted({f"{row[0]} refer to rows of {row[2]}" for row in lost}))
        raise RunError(
            f"rows of {tables} that are not there; the database was left as it is: restore a backup"
        )


def _make_private(database: Path) -> None:
    """Let this user alone read the files of SQLite, which have the mode of the database."""
    with suppress(OSError):  # a home that cannot be written is told at the first use
        for path in (database, *database.parent.glob(f"{database.name}-*")):
            if path.exists() and path.stat().st_mode & 0o077:
                path.chmod(0o600)
        open_private(database, "ab").close()


def _close(connection: Any, record: Any) -> None:
    record.close()


def _set_up_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`
    _turn_on_write_ahead_log(connection)
    _set_pragmas(connection, *_COMMON_PRAGMAS, "synchronous = NORMAL", "foreign_keys = ON")


def _turn_on_write_ahead_log(connection: Any) -> None:
    """Turn it on in the file, or find it turned on by another connection.

    SQLite does not wait for this as it does otherwise: of two connections that turn it on together, one can
    fail at once, or wait the whole time for a lock that the other keeps. A new try finds what the other did.
    """
    end_s = time.monotonic() + _BUSY_TIMEOUT_MS / 1000
    _set_pragmas(connection, f"busy_timeout = {_LOG_MODE_TRY_MS}")
    while True:
        try:
            return _set_pragmas(connection, "journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end_s:
                raise
        await_only(asyncio.sleep(_LOG_MODE_PAUSE_S))


def _set_up_sqlite_reader(connection: Any, record: Any) -> None:
    _set_pragmas(connection, *_COMMON_PRAGMAS, "query_only = ON")


def _set_pragmas(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    options = connection.get_execution_options()
    if options.get("fo1_tables", False):
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("fo1_write", False) else "BEGIN")
