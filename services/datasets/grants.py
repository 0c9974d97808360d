"""Whether a grant of image URLs still holds, remembered for a few seconds."""

import time
from collections import OrderedDict

from services.database.engine import Database
from services.database.models import ImageGrant

_FRESH_S = 5.0
_HELD = 1_000


class Grants:
    """Looks grants up. A revocation is seen at once by the process that makes it, by others in 5 seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[str, tuple[float, str | None]] = OrderedDict()

    async def dataset_of(self, grant_id: str) -> str | None:
        """The dataset whose images the grant opens; None where it is unknown or revoked."""
        known = self._known.get(grant_id)
        if known is not None and time.monotonic() - known[0] < _FRESH_S:
            return known[1]
        async with self._database.reading() as session:
            grant = await session.get(ImageGrant, grant_id)
        dataset_id = grant.dataset_id if grant is not None and grant.revoked_at is None else None
        self._known[grant_id] = (time.monotonic(), dataset_id)
        while len(self._known) > _HELD:
            self._known.popitem(last=False)
        return dataset_id

    def forget(self) -> None:
        """Look everything up anew."""
        self._known.clear()
