"""Access of commands to the database of the service. An error becomes one line."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from fo1_data.errors import RunError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from services.database.engine import Database
    from services.settings import Settings

Result = TypeVar("Result")


def in_database(settings: "Settings", work: "Callable[[AsyncSession], Awaitable[Result]]") -> Result:
    """Migrate the database, call `work` with a session that may write, and return its result.

    Raises as `with_database` does.
    """

    async def migrated(database: "Database") -> Result:
        from services.database.migrate import migrate

        await migrate(database)
        async with database.writing() as session:
            return await work(session)

    return with_database(settings, migrated)


def with_database(settings: "Settings", work: "Callable[[Database], Awaitable[Result]]") -> Result:
    """Call `work` with the database as it is, and return its result.

    Raises RunError if the database cannot be reached or is not one of the service, ConfigError if its
    settings are wrong.
    """
    import asyncio

    from alembic.util import CommandError
    from sqlalchemy.exc import SQLAlchemyError

    from services.database.engine import open_database

    async def run() -> Result:
        database = open_database(settings)
        try:
            return await work(database)
        finally:
            await database.dispose()

    try:
        return asyncio.run(run())
    except (SQLAlchemyError, CommandError, OSError) as error:
        # The message of SQLAlchemy has the SQL statement and further lines.
        reason = " ".join(str(getattr(error, "orig", None) or error).split())[:300]
        raise RunError(f"the database cannot be used: {reason}; see FO1_DATABASE_URL and FO1_HOME") from None
