"""A step file of rows and rejects: of a piece of a shard, or of some of its tiles."""

import json
from collections.abc import Sequence

import pyarrow as pa

from fo1_data.runs.step_file import read_step, write_step
from fo1_data.storage.store import Store
from schemas.images import ImageRow, Reject
from schemas.parquet import IMAGE_SCHEMA


def write_piece(store: Store, path: str, rows: Sequence[ImageRow], rejects: Sequence[Reject]) -> None:
    """Write the rows and rejects, unless another worker was faster. Raises StorageError."""
    write_step(store, path, json.dumps([reject.model_dump(mode="json") for reject in rejects]), rows)


def read_piece(store: Store, path: str) -> tuple[pa.Table, list[Reject]]:
    """The rows and rejects. Raises StorageError if they are gone or damaged (then they are deleted)."""
    document, rows = read_step(store, path)
    return rows.cast(IMAGE_SCHEMA), [Reject.model_validate(reject) for reject in json.loads(document)]
