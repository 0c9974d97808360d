"""API keys: made, hashed, looked up, revoked. The key itself is shown once and never stored or logged.

A key is `fo1_<id>_<secret>`: the id finds the row, the secret (256 bits of chance) is compared with its
SHA-256 in constant time. Every scope includes `read`; `admin` includes all.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fo1_data.errors import ConfigError
from services.database.models import ApiKey, now

_FORM = re.compile(r"fo1_([0-9a-f]{12})_([0-9A-Za-z_-]{43})")


class Scope(StrEnum):
    """What a key may do: look, start work, review, everything."""

    READ = "read"
    LABEL = "label"
    REVIEW = "review"
    ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    key_id: str
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Whether the key's scopes include `scope`."""
        return (
            scope in self.scopes or Scope.ADMIN in self.scopes or (scope is Scope.READ and bool(self.scopes))
        )


@dataclass(frozen=True)
class NewKey:
    """A key at the one moment it can be shown."""

    key: str
    id: str
    scopes: list[str]


async def create_key(session: AsyncSession, scopes: Iterable[str], name: str = "") -> NewKey:
    """Make a key. Raises ConfigError on an unknown scope or none."""
    wanted = list(dict.fromkeys(scopes))
    unknown = [scope for scope in wanted if scope not in list(Scope)]
    if unknown or not wanted:
        known = ", ".join(Scope)
        raise ConfigError(f"scope {', '.join(unknown) or 'not given'}: take of {known}")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    session.add(ApiKey(id=key_id, name=name, scopes=wanted, secret_sha256=_digest(secret)))
    await session.flush()
    return NewKey(f"fo1_{key_id}_{secret}", key_id, wanted)


async def first_key(session: AsyncSession) -> NewKey | None:
    """An admin key where there has never been any key."""
    if await session.scalar(select(func.count()).select_from(ApiKey)):
        return None
    return await create_key(session, [Scope.ADMIN], "first")


async def list_keys(session: AsyncSession) -> Sequence[ApiKey]:
    """All keys, oldest first."""
    return (await session.scalars(select(ApiKey).order_by(ApiKey.created_at, ApiKey.id))).all()


async def revoke_key(session: AsyncSession, key_id: str) -> ApiKey:
    """End a key for good; safe to repeat. Raises ConfigError where there is none of that id."""
    found = await session.get(ApiKey, key_id)
    if found is None:
        raise ConfigError(f"no key has the id {key_id}: see fo1 keys list")
    found.revoked_at = found.revoked_at or now()
    return found


async def find_caller(session: AsyncSession, key: str) -> Caller | None:
    """Who a key belongs to; None where it is unknown, wrong or revoked."""
    form = _FORM.fullmatch(key)
    if form is None:
        return None
    found = await session.get(ApiKey, form[1])
    expected = found.secret_sha256 if found is not None else _digest("")
    if not hmac.compare_digest(expected, _digest(form[2])) or found is None or found.revoked_at is not None:
        return None
    return caller_of(found)


def caller_of(key: ApiKey) -> Caller:
    """The caller that a valid key stands for."""
    return Caller(key.id, frozenset(Scope(scope) for scope in key.scopes))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
