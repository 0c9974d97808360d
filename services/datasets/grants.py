"""Looks up whether a grant of image URLs is still valid, with a cache of a few seconds."""

import time
from collections import OrderedDict

from services.database.engine import Database
from services.database.models import ImageGrant

_FRESH_S = 5.0
_CACHED_GRANTS = 1_000


class Grants:
    """A cache of grants. The process that revokes a grant sees it at once, others within 5 seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache: OrderedDict[str, tuple[float, str | None]] = OrderedDict()

    async def dataset_of(self, grant_id: str) -> str | None:
        """Return the dataset whose images the grant opens; None if it is unknown or revoked."""
        cached = self._cache.get(grant_id)
        if cached is not None and time.monotonic() - cached[0] < _FRESH_S:
            return cached[1]
        async with self._database.reading() as session:
            grant = await session.get(ImageGrant, grant_id)
        dataset_id = grant.dataset_id if grant is not None and grant.revoked_at is None else None
        self._cache[grant_id] = (time.monotonic(), dataset_id)
        while len(self._cache) > _CACHED_GRANTS:
            self._cache.popitem(last=False)
        return dataset_id

    def clear(self) -> None:
        """Empty the cache."""
        self._cache.clear()
