"""Which versions of model and boxes a run has loaded, kept in `.run/`, with the identity that loading gave.

If the sources have the same versions later, the identity is known without loading anything again. A version
is cheap to find: the listing of a URL, the hash of a detector's files.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from fo1_data.dataset.layout import WEIGHTS
from fo1_data.dataset.manifest import dump_json, read_json
from fo1_data.errors import DatasetError
from fo1_data.storage.store import Store


class LoadedSource(BaseModel):
    """A model or a source of boxes that was loaded, with name and SHA-256 as in the run's fingerprint."""

    model_config = ConfigDict(extra="ignore")

    version: str
    name: str
    sha256: str


def record_weights(store: Store, loaded: Mapping[str, LoadedSource]) -> None:
    """Keep what a run has loaded, by the name of its setting (`model`, `proposals`)."""
    if loaded:
        store.write_bytes(WEIGHTS, dump_json({key: source.model_dump() for key, source in loaded.items()}))


def load_weights_record(store: Store) -> dict[str, LoadedSource]:
    """What was recorded; empty if nothing was, or nothing that can be read."""
    try:
        document: dict[str, Any] = read_json(store, WEIGHTS)
        return {key: LoadedSource.model_validate(source) for key, source in document.items()}
    except (FileNotFoundError, DatasetError, ValueError):
        return {}
