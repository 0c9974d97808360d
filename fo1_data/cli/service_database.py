"""Access of commands to the database of the service. Migrates it first; an error becomes one line."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from fo1_data.errors import RunError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from services.settings import Settings

Result = TypeVar("Result")


def in_database(settings: "Settings", work: "Callable[[AsyncSession], Awaitable[Result]]") -> Result:
    """Call `work` with a session that may write, and return its result.

    Raises RunError if the database cannot be reached or is not one of the service, ConfigError if its
    settings are wrong.
    """
    import asyncio

    from alembic.util import CommandError
    from sqlalchemy.exc import SQLAlchemyError

    from services.database.engine import open_database
    from services.database.migrate import migrate

    async def run() -> Result:
        database = open_database(settings)
        try:
            await migrate(database)
            async with database.writing() as session:
                return await work(session)
        finally:
            await database.dispose()

    try:
        return asyncio.run(run())
    except (SQLAlchemyError, CommandError, OSError) as error:
        # The message of SQLAlchemy has the SQL statement and further lines.
        reason = " ".join(str(getattr(error, "orig", None) or error).split())[:300]
        raise RunError(f"the database cannot be used: {reason}; see FO1_DATABASE_URL and FO1_HOME") from None
