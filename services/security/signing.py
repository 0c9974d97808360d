"""Signed URLs of images: they contain no key, but an expiry time and a grant that can be revoked.

The signature is an HMAC-SHA256 over image, grant and expiry, compared in constant time. URLs made on the same
day for the same image are equal, so that browsers can cache the image.
"""

import hmac
import time
from collections.abc import Callable
from urllib.parse import quote_plus

DAY_S = 86_400


class UrlSigner:
    """Creates and checks signed URLs. `days`: how long they are valid."""

    def __init__(self, secret: bytes, base_url: str, days: float) -> None:
        self._keyed = hmac.new(hmac.digest(secret, b"fo1 image urls", "sha256"), digestmod="sha256")
        self.base_url, self._days = base_url.rstrip("/"), days

    def url(self, image_id: str, grant_id: str, now_s: float | None = None) -> str:
        """Return the absolute URL of an image under a grant, valid for `days` and the rest of the day."""
        return f"{self.base_url}{self.path(image_id, grant_id, now_s)}"

    def video_url(self, video_id: str, grant_id: str, now_s: float | None = None) -> str:
        """Return the absolute URL of a video under a grant, as `url` of an image."""
        return self.url(video_id, grant_id, now_s).replace("/v1/images/", "/v1/videos/", 1)

    def path(self, image_id: str, grant_id: str, now_s: float | None = None) -> str:
        """Return the URL without scheme and host."""
        return self.paths(grant_id, now_s)(image_id)

    def paths(self, grant_id: str, now_s: float | None = None) -> Callable[[str], str]:
        """Return what makes the URL of an image without scheme and host, for many images of one grant."""
        expires = self.expires(now_s)
        query = f"?grant={quote_plus(grant_id)}&expires={expires}&signature="
        return lambda image_id: f"/v1/images/{image_id}{query}{self._sign(image_id, grant_id, expires)}"

    def expires(self, now_s: float | None = None) -> int:
        """Return when URLs that are made now expire, in seconds since 1970."""
        tomorrow = int((time.time() if now_s is None else now_s) // DAY_S) + 1
        return tomorrow * DAY_S + int(self._days * DAY_S)

    def is_valid(
        self, image_id: str, grant_id: str, expires: int, signature: str, now_s: float | None = None
    ) -> bool:
        """Return whether the signature is ours and has not expired. Does not check the grant."""
        expected = self._sign(image_id, grant_id, expires)
        is_ours = hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
        return is_ours and expires > (time.time() if now_s is None else now_s)

    def _sign(self, image_id: str, grant_id: str, expires: int) -> str:
        keyed = self._keyed.copy()
        keyed.update(f"{image_id}\n{grant_id}\n{expires}".encode())
        return keyed.hexdigest()
