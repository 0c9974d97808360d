"""Failures of what is around the service: the database, its disk, the home. Each is logged once, at its start
and at its end; in the meantime requests are answered with 503, and `/readyz` says why.
"""

import asyncio
import errno
import logging
import time
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.background import Loop
from services.database.engine import Database

CHECK_EVERY_S = 5.0
# How long a failure of a request counts: what failed is not tried again by the check itself.
_HELD_S = 3 * CHECK_EVERY_S
_ANSWER_WITHIN_S = 5.0
_PROBE = ".write-check"
_FILE_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk is full",
    errno.EROFS: "the disk is read-only",
    errno.EIO: "the disk has errors",
    errno.EMFILE: "too many files are open",
    errno.ENFILE: "too many files are open",
}
_SQLITE_REASONS = {
    "disk is full": "the disk of the database is full",
    "readonly database": "the database is read-only",
    "disk i/o error": "the disk of the database has errors",
    "unable to open database file": "the database cannot be opened",
    "database is locked": "another process holds the database",
}
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRES_REASONS = {
    "53100": "the disk of the database is full",
    "53": "the database has no room",
    "25006": "the database is read-only",
    "57": "the database is stopping or starting",
    "58": "the disk of the database has errors",
    "08": "the database does not answer",
}
NO_ANSWER = "the database does not answer"
_log = logging.getLogger("fo1.service")


def outage_reason(error: BaseException) -> str | None:
    """Return in words what is down if the error comes from around the service, else None."""
    if isinstance(error, PoolTimeout):
        return "every connection to the database is in use"
    if isinstance(error, DBAPIError):
        return _database_reason(error)
    if isinstance(error, OSError):
        return _FILE_REASONS.get(error.errno or 0)
    return None


def _database_reason(error: DBAPIError) -> str | None:
    code = getattr(error.orig, "sqlstate", None)
    if code is not None:
        return next((_POSTGRES_REASONS[part] for part in (code, code[:2]) if part in _POSTGRES_REASONS), None)
    message = str(error.orig).lower()
    for words, reason in _SQLITE_REASONS.items():
        if words in message:
            return reason
    is_lost = error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return NO_ANSWER if is_lost and "sqlite" not in type(error.orig).__module__ else None


class Outages:
    """What is down at the moment. Run its `loop`, which looks every few seconds."""

    def __init__(self, database: Database, home: Path) -> None:
        self._database, self._home = database, home
        self._until_s: dict[str, float] = {}
        self._logged: set[str] = set()
        self.loop = Loop("health", self._look, CHECK_EVERY_S)

    @property
    def present(self) -> list[str]:
        """What was down at the last look, in words."""
        return sorted(self._until_s)

    def notice(self, error: BaseException) -> str | None:
        """Return what is down if the error comes from that, else None. Logs it if it is news."""
        reason = outage_reason(error)
        if reason is not None:
            self._until_s[reason] = time.monotonic() + _HELD_S
            self._report()
        return reason

    async def check(self) -> list[str]:
        """Try the database and the home; return what is down, in words."""
        found = [await self._database_problem(), await asyncio.to_thread(_home_problem, self._home)]
        present_s = time.monotonic()
        self._until_s = {reason: until_s for reason, until_s in self._until_s.items() if until_s > present_s}
        self._until_s |= {reason: present_s for reason in found if reason is not None}
        self._report()
        return self.present

    async def _look(self) -> bool:
        await self.check()
        return False

    async def _database_problem(self) -> str | None:
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                await self._database.read(lambda connection: connection.execute(text("SELECT 1")).all())
        except (SQLAlchemyError, OSError) as error:  # a TimeoutError is an OSError
            return outage_reason(error) or NO_ANSWER
        return None

    def _report(self) -> None:
        down = set(self._until_s)
        for reason in sorted(down - self._logged):
            _log.error("%s: requests are answered with 503 until that is over", reason)
        if self._logged and not down:
            _log.warning("all is well again: it was that %s", ", ".join(sorted(self._logged)))
        self._logged = down


def _home_problem(home: Path) -> str | None:
    probe = home / _PROBE
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe.write_bytes(b"\0" * 8192)
        probe.unlink(missing_ok=True)
    except OSError as error:
        return f"{home} cannot be written: {error.strerror}"
    return None
