"""Logins of the dashboard: a signed cookie that names the key, and a token against forged forms.

The cookie holds no key. It is checked with its key's row at every request: a revoked key ends its logins.
Times are seconds since the epoch.
"""

import base64
import binascii
import hmac
import json
import secrets
import time
from dataclasses import dataclass

COOKIE = "fo1_session"


@dataclass(frozen=True)
class Login:
    """Who is logged in: the id of the key, until when, and the login's own number."""

    key_id: str
    expires: int
    nonce: str


class Sessions:
    """Makes and reads cookies; `hours` is how long a login lasts."""

    def __init__(self, secret: bytes, hours: float) -> None:
        self._cookie_key = hmac.digest(secret, b"fo1 session cookies", "sha256")
        self._form_key = hmac.digest(secret, b"fo1 form tokens", "sha256")
        self.lasts_s = int(hours * 3600)

    def start(self, key_id: str) -> Login:
        """A new login."""
        return Login(key_id, int(time.time()) + self.lasts_s, secrets.token_hex(16))

    def cookie(self, login: Login) -> str:
        """The cookie's value."""
        body = base64.urlsafe_b64encode(
            json.dumps([login.key_id, login.expires, login.nonce]).encode()
        ).decode()
        return f"{body}.{hmac.digest(self._cookie_key, body.encode(), 'sha256').hex()}"

    def read(self, cookie: str | None) -> Login | None:
        """The login of a cookie; None where it is not ours or over."""
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
        """What every form of a login carries."""
        return hmac.digest(self._form_key, login.nonce.encode(), "sha256").hex()

    def is_form_token(self, login: Login, token: str) -> bool:
        """Whether a form is one of ours."""
        return hmac.compare_digest(self.form_token(login).encode(), token.encode("utf-8", "replace"))
