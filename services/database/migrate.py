"""Migrates the database to the newest revision; safe if several processes start at once."""

from importlib.resources import files

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from services.database.engine import Database

_LOCK = 0x464F31  # an arbitrary number, the same in all processes of the service


async def migrate(database: Database) -> None:
    """Apply all missing migrations. One process does it, others wait."""
    async with database.changing_tables() as connection:
        if not database.is_sqlite:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.run_sync(upgrade, "heads")


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, without a configuration file."""
    config = Config()
    config.set_main_option("script_location", str(files("services.database") / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection, revision: str) -> None:
    """Migrate to a revision (`heads`: the newest), within the connection's transaction."""
    command.upgrade(alembic_config(connection), revision)
