"""What a run's folder says of it: progress, the heartbeat of its driver, the finished manifest.

The one way news come back from the cluster. Reads storage, so its functions run in a thread.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from fo1_data.dataset.layout import PROGRESS
from fo1_data.dataset.lease import current_lease
from fo1_data.dataset.manifest import find_manifest
from fo1_data.errors import Fo1Error
from fo1_data.storage.store import open_store
from schemas.dataset import Manifest, RunProgress


@dataclass(frozen=True)
class FolderNews:
    """`alive_s_ago`: seconds since the driver last gave a sign of life, None where it never did."""

    progress: RunProgress | None
    alive_s_ago: float | None


def read_news(out: str) -> FolderNews:
    """The news of the run that writes to `out`; what cannot be read is not there."""
    try:
        store = open_store(out)
        progress = _progress(store.read_bytes(PROGRESS))
    except (Fo1Error, OSError):
        return FolderNews(None, None)
    signs = [] if progress is None else [_seconds_since(progress.updated_at)]
    try:
        _, lease = current_lease(store)
        if lease is not None and not lease.released:
            signs.append(time.time() - lease.heartbeat)
    except (Fo1Error, OSError):
        pass
    ages = [sign for sign in signs if sign is not None]
    return FolderNews(progress, min(ages) if ages else None)


def read_finished(out: str) -> Manifest | None:
    """The manifest of a finished dataset in `out`; None where there is none, or none to be read."""
    try:
        return find_manifest(open_store(out))
    except (Fo1Error, OSError):
        return None


def _progress(data: bytes) -> RunProgress | None:
    try:
        return RunProgress.model_validate_json(data)
    except ValidationError:
        return None


def _seconds_since(moment: str | None) -> float | None:
    if moment is None:
        return None
    try:
        when = datetime.fromisoformat(moment)
    except ValueError:
        return None
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    return (datetime.now(UTC) - when).total_seconds()
