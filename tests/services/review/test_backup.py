"""A backup, the loss of everything, a restore: the same rows are there, and a review goes on."""

import asyncio
import fcntl
import json
import multiprocessing
import os
import shutil
import signal
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fake_label_studio import FakeLabelStudio
from review_bench import Bench, make_review_dataset, open_bench
from review_samples import edited
from running_service import make_settings
from sqlalchemy import Engine, event
from typer.testing import CliRunner

from fo1_data.cli.main import app
from fo1_data.errors import Fo1Error, UsageError
from schemas.jobs import RunConfig
from services.database.backup import BackupSummary, restore_backup, write_backup
from services.database.engine import Database, open_database
from services.database.migrate import migrate
from services.database.models import Base
from services.jobs import service as jobs
from services.label_studio.shown_from_rows import shown_image
from services.settings import Settings


async def all_rows(database: Database) -> dict[str, list[str]]:
    async with database.engine.connect() as connection:
        return {
            table.name: sorted(repr(tuple(row)) for row in await connection.execute(table.select()))
            for table in Base.metadata.sorted_tables
        }


@pytest.mark.parametrize("source", ["sqlite", "postgresql"])
async def test_a_review_goes_on_after_the_loss_of_its_home(
    tmp_path: Path, home: Path, postgres_database: str, source: str
) -> None:
    """What one database wrote, the other restores."""
    urls = {"sqlite": None, "postgresql": postgres_database}
    dataset, rows = make_review_dataset(tmp_path, 3)
    fake, file = FakeLabelStudio(), tmp_path / "state.fo1"
    async with open_bench(home, dataset, fake, database_url=urls.pop(source)) as bench:
        await bench.push.run(bench.review_id)
        fake.annotate(fake.task_of(rows[0].image_id), edited(shown_image(rows[0]), a="before"))
        await bench.changed()
        before = await all_rows(bench.database)
        summary = await write_backup(bench.database, bench.settings, file)
        shutil.rmtree(home, ignore_errors=True)
        [target] = urls.values()
        settings = make_settings(tmp_path / "other", database_url=target)
        restored = Bench(settings, open_database(settings), bench.client, bench.review_id, 4)
        try:
            assert await restore_backup(restored.database, settings, file) == summary
            assert await all_rows(restored.database) == before
            assert summary.rows["review_items"] == 3
            fake.annotate(fake.task_of(rows[1].image_id), edited(shown_image(rows[1]), a="after"))
            await restored.changed()
            assert await restored.edits() == ["after", "before"]
        finally:
            await restored.database.dispose()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_all_rows_are_of_one_moment(home: Path, tmp_path: Path, database_url: str | None) -> None:
    """Each transaction writes a job and its first event; a backup in between has both or none."""
    settings = make_settings(home, database_url=database_url)
    database, ended = open_database(settings), asyncio.Event()

    async def write() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            async with database.writing() as session:
                await jobs.create(session, RunConfig(corpus="/c", out=f"/o/{number}"), "k")

    await migrate(database)
    writer = asyncio.create_task(write())
    try:
        summaries = [await write_backup(database, settings, tmp_path / f"{n}.fo1") for n in range(5)]
    finally:
        ended.set()
        await writer
        await database.dispose()
    assert all(summary.rows["jobs"] == summary.rows["job_events"] for summary in summaries)
    assert summaries[-1].rows["jobs"] > summaries[0].rows["jobs"]


def fo1(home: Path, *arguments: str) -> Any:
    """The command with a home of its own; an error that a user can cause is its text."""
    environment = {"FO1_HOME": str(home), "FO1_DATABASE_URL": "", "FO1_SECRET_KEY": None}
    result = CliRunner().invoke(app, [*arguments, "--json"], env=environment)
    if isinstance(result.exception, Fo1Error):
        return f"{result.exception.exit_code}: {result.exception}"
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_commands_move_a_home_and_refuse_what_would_lose_something(tmp_path: Path) -> None:
    first, second, file = tmp_path / "first", tmp_path / "second", tmp_path / "state.fo1"
    assert "no service has been started" in fo1(first, "backup", str(file))
    key = fo1(first, "keys", "create", "--scope", "read")
    (first / "secret.key").write_bytes(b"s" * 64)
    assert fo1(first, "backup", str(file))["rows"]["api_keys"] == 1
    assert "never overwrites" in fo1(first, "backup", str(file))
    assert "is not empty" in fo1(first, "restore", str(file))
    assert fo1(second, "restore", str(file))["has_secret"]
    assert (second / "secret.key").read_bytes() == b"s" * 64
    assert [one["id"] for one in fo1(second, "keys", "list")["keys"]] == [key["id"]]
    assert "is not empty" in fo1(second, "restore", str(file))


def test_a_backup_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    home, safe = tmp_path / "home", tmp_path / "safe"
    fo1(home, "keys", "create", "--scope", "read")
    safe.mkdir()
    begun: list[Path] = []

    def stop(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "FROM api_keys" in statement:
            begun.extend(safe.iterdir())
            signal.raise_signal(signal.SIGTERM)

    event.listen(Engine, "before_cursor_execute", stop)
    try:
        environment = {"FO1_HOME": str(home), "FO1_DATABASE_URL": "", "FO1_SECRET_KEY": None}
        result = CliRunner().invoke(app, ["backup", str(safe / "state.fo1")], env=environment)
    finally:
        event.remove(Engine, "before_cursor_execute", stop)
    assert result.exit_code == 143, result.output
    assert len(begun) == 1
    assert list(safe.iterdir()) == []


def backup_killed_on_its_way(home: Path, file: Path) -> None:
    """In a process of its own; it ends with its second table."""

    def die(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "FROM api_keys" in statement:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", die)
    fo1(home, "backup", str(file))


def test_a_killed_backup_is_no_backup_and_goes_with_the_next_one(tmp_path: Path) -> None:
    home, safe, target = tmp_path / "home", tmp_path / "safe", tmp_path / "target"
    fo1(home, "keys", "create", "--scope", "read")
    safe.mkdir()
    file = safe / "state.fo1"
    process = multiprocessing.get_context("spawn").Process(target=backup_killed_on_its_way, args=(home, file))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (left,) = safe.iterdir()
    assert left.name.startswith(".state.fo1.")
    assert left.suffix == ".partial"
    assert "is not a whole backup" in fo1(target, "restore", str(left))
    of_another = safe / ".state.fo1.0.partial"
    with of_another.open("wb") as being_written:
        fcntl.flock(being_written, fcntl.LOCK_EX)
        assert fo1(home, "backup", str(file))["rows"]["api_keys"] == 1
        assert sorted(safe.iterdir()) == [of_another, file]
    assert fo1(target, "restore", str(file))["rows"]["api_keys"] == 1


async def test_what_is_no_backup_of_this_version_restores_nothing(home: Path, tmp_path: Path) -> None:
    settings = make_settings(home)
    database, whole = open_database(settings), tmp_path / "whole.fo1"
    await migrate(database)
    async with database.writing() as session:
        await jobs.create(session, RunConfig(corpus="/c", out="/o"), "k")
    await write_backup(database, settings, whole)
    await database.dispose()
    files = {"text": b"no zip", "half": whole.read_bytes()[:-40]}
    with zipfile.ZipFile(whole) as package:
        members = {name: package.read(name) for name in package.namelist()}
        start = package.getinfo("backup.json").header_offset + 30 + len("backup.json")
    listed = whole.read_bytes().index(b"PK\x01\x02")
    for name, place in (("bytes", start), ("method", listed + 10)):  # compressed data; how it is compressed
        files[name] = whole.read_bytes()[:place] + b"\xff" + whole.read_bytes()[place + 1 :]
    newer = {**members, "backup.json": members["backup.json"].replace(b'"revision": "', b'"revision": "9')}
    short = {**members, "tables/jobs.jsonl": members["tables/jobs.jsonl"].splitlines(keepends=True)[0]}
    for name, changed in (("newer", newer), ("short", short)):
        with zipfile.ZipFile(tmp_path / name, "w") as package:
            for member, content in changed.items():
                package.writestr(member, content)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    target = make_settings(tmp_path / "target")
    words = {
        "text": "not a whole backup",
        "half": "not a whole backup",
        "bytes": "not a whole backup",
        "method": "not a whole backup",
        "newer": "is newer",
        "short": "0 of 1",
    }
    for name, message in {**words, "absent": "no backup is at"}.items():
        with pytest.raises(UsageError, match=message):
            await restored_into(target, tmp_path / name)
    await restored_into(target, whole)


async def test_a_restore_that_cannot_write_the_secret_restores_nothing(home: Path, tmp_path: Path) -> None:
    settings = make_settings(home, secret_key=None)
    database, file = open_database(settings), tmp_path / "state.fo1"
    await migrate(database)
    (home / "secret.key").write_bytes(b"s" * 64)
    summary = await write_backup(database, settings, file)
    await database.dispose()
    target = make_settings(tmp_path / "target", secret_key=None)
    secret = target.home / "secret.key"
    target.home.mkdir()
    secret.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        await restored_into(target, file)
    secret.unlink()
    assert await restored_into(target, file) == summary
    assert secret.read_bytes() == b"s" * 64


async def restored_into(target: Settings, file: Path) -> BackupSummary:
    database = open_database(target)
    try:
        return await restore_backup(database, target, file)
    finally:
        await database.dispose()
