"""Dashboard logins: a signed cookie that names the key's id, and a token against forged forms.

The cookie does not contain the key. Every request checks the key's row, so revoking a key ends its logins. It
also checks whether the login was ended: a copy of its cookie is worth nothing after that. Times are seconds
since the epoch.
"""

import base64
import binascii
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from services.database.models import EndedLogin, utc_now

COOKIE = "fo1_session"


@dataclass(frozen=True)
class Login:
    """A login: the id of its key, when it expires, and its own random number."""

    key_id: str
    expires: int
    nonce: str


class Sessions:
    """Creates and reads cookies. `hours`: how long a login lasts."""

    def __init__(self, secret: bytes, hours: float) -> None:
        self._cookie_key = hmac.digest(secret, b"fo1 session cookies", "sha256")
        self._form_key = hmac.digest(secret, b"fo1 form tokens", "sha256")
        self.lasts_s = int(hours * 3600)

    def start(self, key_id: str) -> Login:
        """Return a new login."""
        return Login(key_id, int(time.time()) + self.lasts_s, secrets.token_hex(16))

    def cookie(self, login: Login) -> str:
        """Return the value of the login's cookie."""
        body = base64.urlsafe_b64encode(
            json.dumps([login.key_id, login.expires, login.nonce]).encode()
        ).decode()
        return f"{body}.{hmac.digest(self._cookie_key, body.encode(), 'sha256').hex()}"

    def read(self, cookie: str | None) -> Login | None:
        """Return the login of a cookie; None if it is not ours or has expired."""
        body, dot, signature = (cookie or "").partition(".")
        expected = hmac.digest(self._cookie_key, body.encode(), "sha256").hex()
        if not dot or not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            return None
        try:
            login = Login(*json.loads(base64.urlsafe_b64decode(body)))
        except (binascii.Error, ValueError, TypeError):
            return None
        return login if login.expires > time.time() else None

    def form_token(self, login: Login) -> str:
        """Return the token that every form of a login carries."""
        return hmac.digest(self._form_key, login.nonce.encode(), "sha256").hex()

    def is_form_token(self, login: Login, token: str) -> bool:
        """Return whether this is the form token of the login."""
        return hmac.compare_digest(self.form_token(login).encode(), token.encode("utf-8", "replace"))


async def is_ended(session: AsyncSession, login: Login) -> bool:
    """Return whether a login has been ended."""
    return await session.get(EndedLogin, login.nonce) is not None


async def end_login(session: AsyncSession, login: Login) -> None:
    """End a login for good, in every process; safe to repeat."""
    await session.execute(delete(EndedLogin).where(EndedLogin.expires_at < utc_now()))
    expires_at = datetime.fromtimestamp(login.expires, UTC)
    await session.merge(EndedLogin(nonce=login.nonce, expires_at=expires_at))
