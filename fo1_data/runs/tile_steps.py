"""The tiles of a shard in steps: each is labelled at once and stored, so that a killed run goes on there.

A step has the rows of at most `TILES_A_STEP` tiles, fewer of large ones, so that memory is bounded. Its name
follows from its place in the shard; a step that is there is not labelled again. Images that fit share a step,
so that equal ones are found.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from fo1_data.corpus.tile_names import tile_name
from fo1_data.dataset.layout import tile_steps
from fo1_data.dataset.tile_shards import images_of
from fo1_data.runs.piece_file import read_piece, write_piece
from fo1_data.runs.step_file import SUFFIX
from fo1_data.storage.store import Store
from schemas.corpus import CorpusImage, Shard
from schemas.images import ImageRow, Reject

TILES_A_STEP = 8
_PIXELS_A_STEP = 2**22


def has_tiles(shard: Shard) -> bool:
    """Whether any entry of the shard is a tile."""
    return any(tile_name(entry) is not None for entry in shard.images)


def plan_steps(entries: Sequence[CorpusImage]) -> list[tuple[int, int]]:
    """The steps of some entries of a shard: first and last place, the last left out."""
    steps: list[tuple[int, int]] = []
    most = _most_tiles(entries)
    begin = place = 0
    for image in images_of(entries):
        if place > begin and place - begin + len(image) > most:
            steps.append((begin, place))
            begin = place
        place += len(image)
        while place - begin > most:
            steps.append((begin, begin + most))
            begin += most
    return [*steps, (begin, place)] if place > begin else steps


def _most_tiles(entries: Sequence[CorpusImage]) -> int:
    """How many tiles of these entries a step may have; all are of one size."""
    name = next((name for entry in entries if (name := tile_name(entry)) is not None), None)
    return TILES_A_STEP if name is None else max(1, min(TILES_A_STEP, _PIXELS_A_STEP // name.tile_px**2))


@dataclass(frozen=True)
class StoredStep:
    """A step in the store: the entries `start` to `stop` of a shard."""

    store: Store
    run: str
    shard_id: str
    start: int
    stop: int

    @property
    def _path(self) -> str:
        return f"{tile_steps(self.run, self.shard_id)}/{self.start:06d}-{self.stop:06d}{SUFFIX}"

    @property
    def is_done(self) -> bool:
        return self.store.exists(self._path)

    def write(self, rows: Sequence[ImageRow], rejects: Sequence[Reject]) -> None:
        """Keep the rows and rejects, unless another worker was faster."""
        write_piece(self.store, self._path, rows, rejects)

    def read(self) -> tuple[pa.Table, list[Reject]]:
        """Its rows and rejects. Raises StorageError if it is gone or damaged: it is labelled again."""
        return read_piece(self.store, self._path)


def stored_steps(
    store: Store, run: str, shard_id: str, entries: Sequence[CorpusImage], offset: int = 0
) -> Iterator[StoredStep]:
    """The steps of the entries, of which the first is at place `offset` of the shard."""
    for start, stop in plan_steps(entries):
        yield StoredStep(store, run, shard_id, offset + start, offset + stop)
