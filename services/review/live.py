"""Connects the project of a live review to this service's ML backend, and disconnects it again."""

import hmac
import logging

from services.database.review_tables import Review
from services.label_studio.client import LabelStudio
from services.label_studio.connection import LabelStudioError, LabelStudioLost
from services.label_studio.labelling_config import live_config
from services.settings import Settings

TITLE = "fo1"
_log = logging.getLogger("fo1.service")


def live_secret(settings: Settings, review_id: str) -> str:
    """Return the password that a review's project sends to `/ml`. It opens nothing else and is not stored."""
    return hmac.digest(settings.secret, f"fo1 ml backend of {review_id}".encode(), "sha256").hex()


def is_live_secret(settings: Settings, review_id: str, password: str) -> bool:
    """Return whether this is the password of the review. Does not check that the review is live."""
    return hmac.compare_digest(live_secret(settings, review_id).encode(), password.encode("utf-8", "replace"))


class LiveBackend:
    """Connects projects in one Label Studio to `/ml` of this service."""

    def __init__(self, client: LabelStudio, settings: Settings) -> None:
        self._client, self._settings = client, settings
        self._url = f"{settings.base_url}/ml"

    async def apply(self, review: Review, project_id: int) -> str | None:
        """Connect or disconnect the project as the review's options say; return why this failed, or None.

        Raises LabelStudioLost if Label Studio does not answer.
        """
        live = review.options.live
        if live is None:
            return None
        try:
            await (self._connect(review, project_id) if live else self._disconnect(project_id))
        except LabelStudioLost:
            raise
        except LabelStudioError as error:  # Label Studio cannot reach this service, or is not allowed to
            _log.warning("live labelling of review %s: %s", review.id, error)
            return f"live labelling is not {'' if live else 'dis'}connected: {error}"[:1000]
        return None

    async def _connect(self, review: Review, project_id: int) -> None:
        if not await self._client.ml_backends(project_id, self._url):
            config = live_config(await self._client.label_config(project_id))
            await self._client.update_project(project_id, label_config=config)
        secret = live_secret(self._settings, review.id)
        await self._client.set_ml_backend(project_id, self._url, review.id, secret, TITLE)

    async def _disconnect(self, project_id: int) -> None:
        """Remove the ML backends. The configuration stays, since existing annotations may use its fields."""
        for backend_id in await self._client.ml_backends(project_id, self._url):
            await self._client.delete_ml_backend(backend_id)
