"""Reads the folder of a run: its progress, the heartbeat of its driver, the finished manifest.

This is the only way in which results come back from the cluster. Reads storage: run it in a thread.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from fo1_data.dataset.layout import PROGRESS
from fo1_data.dataset.lease import current_lease
from fo1_data.dataset.manifest import find_manifest
from fo1_data.errors import DatasetError, Fo1Error
from fo1_data.storage.store import open_store
from schemas.dataset import Manifest
from schemas.progress import RunProgress


@dataclass(frozen=True)
class FolderNews:
    """The progress of a run. `alive_s_ago`: seconds since the driver's last sign of life, or None."""

    progress: RunProgress | None
    alive_s_ago: float | None


def read_news(out: str) -> FolderNews:
    """Return the news of the run that writes to `out`; whatever cannot be read is None."""
    try:
        store = open_store(out)
        progress = _progress(store.read_bytes(PROGRESS))
    except (Fo1Error, OSError):
        return FolderNews(None, None)
    ages_s = [] if progress is None else [_seconds_since(progress.updated_at)]
    try:
        _, lease = current_lease(store)
        if lease is not None and not lease.released:
            ages_s.append(time.time() - lease.heartbeat)
    except (Fo1Error, OSError):
        pass
    return FolderNews(progress, min((age_s for age_s in ages_s if age_s is not None), default=None))


def read_finished(out: str) -> Manifest | None:
    """Return the manifest of a finished dataset in `out`; None if there is none or it is damaged.

    Raises StorageError or OSError if that cannot be known at the moment.
    """
    try:
        return find_manifest(open_store(out))
    except DatasetError:
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
