"""`fo1 backup` and `fo1 restore`: the state of the service in one file. They need no running service."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fo1_data.cli.output import JsonOption, emit
from fo1_data.cli.service_database import with_database
from fo1_data.plurals import counted
from fo1_data.runs.stopping import stopping_on_sigterm

if TYPE_CHECKING:
    from services.database.backup import BackupSummary
    from services.database.engine import Database
    from services.settings import Settings

FileArgument = Annotated[Path, typer.Argument(help="File of the backup.")]


def backup(file: FileArgument, as_json: JsonOption = False) -> None:
    """Write the state of the service to a new file, also while the service runs.

    It holds the database (keys, jobs, datasets, reviews with all annotations) and the secret; not images,
    dataset folders or what Label Studio stores. Keep it safe: it holds all that the service trusts.
    """
    from services.database.backup import write_backup

    summary = _with_file(write_backup, file)
    emit(_document(file, summary), as_json, f"{file}: {_rows_text(summary)}")


def restore(file: FileArgument, as_json: JsonOption = False) -> None:
    """Restore a backup into a new FO1_HOME, and the empty database of FO1_DATABASE_URL if that is set.

    Dataset folders must be where they were.
    """
    from services.database.backup import restore_backup

    summary = _with_file(restore_backup, file)
    emit(_document(file, summary), as_json, f"{file}: {_rows_text(summary)} restored; go on with: fo1 serve")


def _with_file(
    work: "Callable[[Database, Settings, Path], Awaitable[BackupSummary]]", file: Path
) -> "BackupSummary":
    from services.settings import load_settings

    settings = load_settings()
    with stopping_on_sigterm():  # so that no half of a file, which may hold the secret, is left
        return with_database(settings, lambda database: work(database, settings, file))


def _document(file: Path, summary: "BackupSummary") -> dict[str, Any]:
    return {"file": str(file), **summary.model_dump(mode="json")}


def _rows_text(summary: "BackupSummary") -> str:
    return f"{counted(sum(summary.rows.values()), 'row')} of {counted(len(summary.rows), 'table')}" + (
        " and the secret" if summary.has_secret else " (FO1_SECRET_KEY is kept by you)"
    )
