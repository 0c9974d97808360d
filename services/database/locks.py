"""A lock on a name until the transaction ends. SQLite has one writer at a time anyway."""

import hashlib

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


async def lock_name(session: AsyncSession, name: str) -> None:
    """Wait until no other transaction holds `name`; what they committed is seen from here on."""
    if session.get_bind().dialect.name == "sqlite":
        return
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    await session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})
