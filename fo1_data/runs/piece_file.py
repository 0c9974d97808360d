"""The file of a piece of a shard: its rows and rejects, until the shard is written from its pieces."""

from collections.abc import Sequence

from pydantic import BaseModel

from fo1_data.storage.store import Store
from schemas.images import ImageRow, Reject


class LabelledPiece(BaseModel):
    """The rows and rejects of some images of a shard."""

    rows: list[ImageRow] = []
    rejects: list[Reject] = []


def write_piece(store: Store, path: str, rows: Sequence[ImageRow], rejects: Sequence[Reject]) -> None:
    """Write a piece. Raises StorageError."""
    piece = LabelledPiece(rows=list(rows), rejects=list(rejects))
    store.write_bytes(path, piece.model_dump_json().encode())


def read_piece(store: Store, path: str) -> LabelledPiece:
    """Read a piece. Raises StorageError."""
    return LabelledPiece.model_validate_json(store.read_bytes(path))
