"""Writes the whole database and the secret to one file, and restores them into an empty home.

The file is a zip: `backup.json` (a `BackupSummary`), `tables/NAME.jsonl` (a line of column names, then a line
per row), and `secret.key` if the service keeps its own. All rows are of one moment, also while the service
runs. SQLite and PostgreSQL write the same file, so it moves a service from one to the other. Images and
datasets are not in it.
"""

import base64
import fcntl
import json
import os
import uuid
import zipfile
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from glob import escape
from itertools import islice
from pathlib import Path
from typing import IO, Any

from alembic.script import ScriptDirectory
from pydantic import BaseModel, ValidationError
from sqlalchemy import JSON, Connection, MetaData, Table, func, inspect, select, text

from fo1_data.dataset.layout import code_version
from fo1_data.errors import UsageError
from schemas.problems import problem_of_written
from services.database.engine import Database
from services.database.migrate import alembic_config, upgrade
from services.home import DATABASE_FILE, SECRET_FILE, open_private
from services.settings import Settings

FORMAT = 1
_SUMMARY = "backup.json"
_REVISIONS = "alembic_version"
_ROWS_AT_ONCE = 500
_PARTIAL = ".partial"
# What a zip raises whose bytes have changed, and what is in it.
_NOT_WHOLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, KeyError, ValueError)


class BackupSummary(BaseModel):
    """What a backup holds. `revision`: of the database's schema. `rows`: their number by table."""

    format: int = FORMAT
    revision: str
    code_version: str
    created_at: datetime
    rows: dict[str, int]
    has_secret: bool


async def write_backup(database: Database, settings: Settings, path: Path) -> BackupSummary:
    """Write a backup to a new file that only its owner can read. Raises UsageError if the file exists."""
    if path.exists():
        raise UsageError(f"{path} exists already: a backup never overwrites a file")
    if settings.database_url is None and not _is_begun(settings.home / DATABASE_FILE):
        raise UsageError(f"no service has been started with FO1_HOME {settings.home}")
    secret = settings.home / SECRET_FILE
    written = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{_PARTIAL}")
    isolation = {} if database.is_sqlite else {"isolation_level": "REPEATABLE READ"}
    try:
        with open_private(written, "xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            async with database.engine.execution_options(**isolation).connect() as connection:
                keeps_secret = settings.secret_key is None
                summary = await connection.run_sync(_write, file, secret if keeps_secret else None)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(written, path)  # unlike a rename, it fails if another file came to be there
        except FileExistsError:
            raise UsageError(f"{path} exists already: a backup never overwrites a file") from None
    finally:
        written.unlink(missing_ok=True)
    _clear(path)
    return summary


def _clear(path: Path) -> None:
    """Delete what killed processes left of this backup, with the secret; a living one holds its lock."""
    for left in path.parent.glob(f".{escape(path.name)}.*{_PARTIAL}"):
        with suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


async def restore_backup(database: Database, settings: Settings, path: Path) -> BackupSummary:
    """Restore a backup into an empty database and home: everything, or nothing.

    Raises UsageError if the file is no backup, is of a newer schema, or the database or home is not empty.
    """
    secret = settings.home / SECRET_FILE
    if secret.exists():
        raise UsageError(f"{settings.home} is not empty: restore into a new FO1_HOME")
    try:
        with zipfile.ZipFile(path) as package:
            summary = _read_summary(package, path)
            key = package.read(SECRET_FILE) if summary.has_secret and settings.secret_key is None else None
            async with database.changing_tables() as connection:
                await connection.run_sync(_restore, package, summary, settings.home)
                if key is not None:
                    with open_private(secret, "xb") as file:
                        file.write(key)
    except FileNotFoundError:
        raise UsageError(f"no backup is at {path}") from None
    except _NOT_WHOLE as error:
        raise UsageError(f"{path} is not a whole backup of fo1-data: {error}") from None
    return summary


def _is_begun(database: Path) -> bool:
    return database.exists() and database.stat().st_size > 0


def _write(connection: Connection, file: IO[bytes], secret: Path | None) -> BackupSummary:
    tables = _tables(connection)
    revision = connection.execute(text(f"SELECT version_num FROM {_REVISIONS}")).scalar_one()
    rows = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
        for table in tables:
            with package.open(f"tables/{table.name}.jsonl", "w", force_zip64=True) as lines:
                rows[table.name] = _write_rows(connection, table, lines)
        if secret is not None and secret.exists():
            package.writestr(SECRET_FILE, secret.read_bytes())
        summary = BackupSummary(
            revision=revision,
            code_version=code_version(),
            created_at=datetime.now(UTC),
            rows=rows,
            has_secret=secret is not None and secret.exists(),
        )
        package.writestr(_SUMMARY, summary.model_dump_json(indent=2))
    return summary


def _write_rows(connection: Connection, table: Table, lines: IO[bytes]) -> int:
    lines.write(json.dumps(table.columns.keys()).encode() + b"\n")
    count = 0
    for row in connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(select(table)):
        lines.write(json.dumps([_stored(value) for value in row]).encode() + b"\n")
        count += 1
    return count


def _read_summary(package: zipfile.ZipFile, path: Path) -> BackupSummary:
    try:
        summary = BackupSummary.model_validate_json(package.read(_SUMMARY))
    except ValidationError as error:
        raise ValueError(problem_of_written(error)) from None
    revisions = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    if summary.format != FORMAT or summary.revision not in revisions:
        raise UsageError(
            f"{path} was written by fo1-data {summary.code_version}, which is newer than this one: "
            "install that version to restore it"
        )
    return summary


def _restore(connection: Connection, package: zipfile.ZipFile, summary: BackupSummary, home: Path) -> None:
    if inspect(connection).get_table_names():
        raise UsageError(f"the database is not empty: restore into a new FO1_HOME (now {home}) or database")
    upgrade(connection, summary.revision)
    tables = _tables(connection)
    for table in reversed(tables):
        connection.execute(table.delete())  # migrations made rows too, which the backup has
    for table in tables:
        with package.open(f"tables/{table.name}.jsonl") as lines:
            count = _insert_rows(connection, table, lines)
        if count != summary.rows[table.name]:
            raise ValueError(f"{count} of {summary.rows[table.name]} rows of {table.name}")
        _continue_ids(connection, table)
    upgrade(connection, "heads")


def _insert_rows(connection: Connection, table: Table, lines: IO[bytes]) -> int:
    names = json.loads(lines.readline())
    if set(names) != set(table.columns.keys()):
        raise ValueError(f"the columns of {table.name} are {', '.join(names)}")
    count = 0
    while rows := [_row(names, line) for line in islice(lines, _ROWS_AT_ONCE)]:
        connection.execute(table.insert(), rows)
        count += len(rows)
    return count


def _row(names: list[str], line: bytes) -> dict[str, Any]:
    values = [_value(stored) for stored in json.loads(line)]
    return dict(zip(names, values, strict=True))


def _tables(connection: Connection) -> list[Table]:
    """Return every table as the database has it, a table after those that it refers to."""
    metadata = MetaData()
    metadata.reflect(connection)
    for column in (column for table in metadata.tables.values() for column in table.columns):
        if isinstance(column.type, JSON):
            column.type = JSON(none_as_null=True)
    return [table for table in metadata.sorted_tables if table.name != _REVISIONS]


def _continue_ids(connection: Connection, table: Table) -> None:
    """Let PostgreSQL count ids on from the largest; SQLite does so by itself."""
    if connection.dialect.name == "sqlite":
        return
    for column in table.primary_key.columns:
        sequence = connection.execute(select(func.pg_get_serial_sequence(table.name, column.name))).scalar()
        if sequence is not None:
            largest = select(func.coalesce(func.max(column), 0) + 1).scalar_subquery()
            connection.execute(select(func.setval(sequence, largest, False)))


def _stored(value: Any) -> Any:
    """Return a value of a column in JSON: bytes and times, and objects, as an object with one key."""
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return {"time": aware.isoformat()}
    return {"json": value} if isinstance(value, dict | list) else value


def _value(stored: Any) -> Any:
    if not isinstance(stored, dict):
        return stored
    [(kind, value)] = stored.items()
    match kind:
        case "bytes":
            return base64.b64decode(value)
        case "time":
            return datetime.fromisoformat(value)
        case _:
            return value
