"""Creates, finds and revokes API keys. A key is shown once and never stored or logged.

A key is `fo1_<id>_<secret>`. The id finds the row; the SHA-256 of the secret (256 random bits) is compared
in constant time. Every scope includes `read`; `admin` includes all scopes. A key works in its project only;
an admin key without a project is one of the whole service.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fo1_data.errors import ConfigError
from services.database.locks import lock_name
from services.database.models import DEFAULT_PROJECT, ApiKey, utc_now

_FORM = re.compile(r"fo1_([0-9a-f]{12})_([0-9A-Za-z_-]{43})")
_ROW = select(ApiKey.id, ApiKey.scopes, ApiKey.secret_sha256, ApiKey.revoked_at, ApiKey.project_id).where(
    ApiKey.id == bindparam("key_id")
)


class Scope(StrEnum):
    """What a key may do: read, start labelling, review, everything."""

    READ = "read"
    LABEL = "label"
    REVIEW = "review"
    ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    """The sender of a request, identified by a key, and the project the key works in.

    `of_service`: the key is an admin of the whole service.
    """

    key_id: str
    scopes: frozenset[Scope]
    project_id: str = DEFAULT_PROJECT
    of_service: bool = False

    def may(self, scope: Scope) -> bool:
        """Return whether the key's scopes include `scope`."""
        return (
            scope in self.scopes or Scope.ADMIN in self.scopes or (scope is Scope.READ and bool(self.scopes))
        )


@dataclass(frozen=True)
class NewKey:
    """A new key, which can be shown only now."""

    key: str
    id: str
    scopes: list[str]


async def create_key(
    session: AsyncSession, scopes: Iterable[str], name: str = "", project_id: str | None = None
) -> NewKey:
    """Create a key. Raises ConfigError if a scope is unknown or there is none.

    Without a project, an admin is one of the whole service, and any other key is in the default project.
    """
    requested = list(dict.fromkeys(scopes))
    unknown = [scope for scope in requested if scope not in list(Scope)]
    if unknown or not requested:
        raise ConfigError(f"scope {', '.join(unknown) or 'not given'}: choose from {', '.join(Scope)}")
    if project_id is None and Scope.ADMIN not in requested:
        project_id = DEFAULT_PROJECT
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    digest = _digest(secret)
    session.add(ApiKey(id=key_id, name=name, scopes=requested, secret_sha256=digest, project_id=project_id))
    await session.flush()
    return NewKey(f"fo1_{key_id}_{secret}", key_id, requested)


async def first_key(session: AsyncSession) -> NewKey | None:
    """Create an admin key if there has never been any key; else return None."""
    await lock_name(session, "first key")
    if await session.scalar(select(func.count()).select_from(ApiKey)):
        return None
    return await create_key(session, [Scope.ADMIN], "first")


async def list_keys(session: AsyncSession, project_id: str | None = None) -> Sequence[ApiKey]:
    """Return the keys of a project, or all keys, oldest first."""
    query = select(ApiKey).order_by(ApiKey.created_at, ApiKey.id)
    if project_id is not None:
        query = query.where(ApiKey.project_id == project_id)
    return (await session.scalars(query)).all()


async def key_names(session: AsyncSession, ids: Iterable[str]) -> dict[str, str]:
    """Return the name of each key with one of `ids`; of a key without a name, its id."""
    rows = await session.execute(select(ApiKey.id, ApiKey.name).where(ApiKey.id.in_(set(ids))))
    return {key_id: name or f"key {key_id}" for key_id, name in rows}


async def revoke_key(session: AsyncSession, key_id: str, project_id: str | None = None) -> ApiKey:
    """Revoke a key, of this project if one is given, for good; safe to repeat.

    Raises ConfigError if no key has this id.
    """
    key = await session.get(ApiKey, key_id)
    if key is None or project_id not in (None, key.project_id):
        raise ConfigError(f"no key has the id {key_id}: see fo1 keys list")
    key.revoked_at = key.revoked_at or utc_now()
    return key


async def find_caller(session: AsyncSession, key: str) -> Caller | None:
    """As `read_caller`, in a session."""
    return await session.run_sync(lambda inner: read_caller(inner.connection(), key))


def read_caller(connection: Connection, key: str) -> Caller | None:
    """Return the caller of a key; None if the key is unknown, wrong or revoked."""
    match = _FORM.fullmatch(key)
    if match is None:
        return None
    row = connection.execute(_ROW, {"key_id": match[1]}).first()
    expected = row.secret_sha256 if row is not None else _digest("")
    if not hmac.compare_digest(expected, _digest(match[2])) or row is None or row.revoked_at is not None:
        return None
    return _caller(row.id, row.scopes, row.project_id)


def caller_of(key: ApiKey) -> Caller:
    """Return the caller of a valid key."""
    return _caller(key.id, key.scopes, key.project_id)


def _caller(key_id: str, scopes: Iterable[str], project_id: str | None) -> Caller:
    names = frozenset(Scope(scope) for scope in scopes)
    return Caller(key_id, names, project_id or DEFAULT_PROJECT, of_service=project_id is None)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
