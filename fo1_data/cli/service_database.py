"""The service's database as commands use it: migrated first, and a fault of it told in one line."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from fo1_data.errors import RunError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from services.settings import Settings

Result = TypeVar("Result")


def in_database(settings: "Settings", work: "Callable[[AsyncSession], Awaitable[Result]]") -> Result:
    """What `work` makes in one writing session. Raises RunError where the database does not answer or is
    not one of ours, ConfigError where its settings are wrong."""
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
        # SQLAlchemy's own words hold the statement and lines of advice.
        reason = " ".join(str(getattr(error, "orig", None) or error).split())[:300]
        raise RunError(f"the database cannot be used: {reason}; see FO1_DATABASE_URL and FO1_HOME") from None
