"""The ids of the images of a run, on disk: which of them occur twice, in bounded memory.

Of an id its first 64 bits are kept, with the number of its shard: 12 bytes an image. They are sorted in
blocks; each block is cut by ranges of ids, and the same range of all blocks is looked at together. Whether
two ids are equal to their end is for the caller to see.
"""

import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from fo1_data.errors import StorageError

ID_BYTES = 32
BLOCK_IDS = 2**20
_NUM_RANGES = 256
_PAIR = np.dtype([("half", "<u8"), ("shard", "<u4")])
_BOUNDS = np.arange(1, _NUM_RANGES, dtype=np.uint64) << np.uint64(56)

Pairs = npt.NDArray[np.void]


class ImageIds:
    """Ids with the numbers of their shards. Raises StorageError if the temporary folder has no room.

    block_ids: how many are sorted at a time.
    """

    def __init__(self, block_ids: int = BLOCK_IDS) -> None:
        self._block_ids = block_ids
        self._open: list[Pairs] = []
        self._num_open = 0
        self._file: IO[bytes] | None = None
        self._ends: list[npt.NDArray[np.int64]] = []  # of each range, in each block of the file

    def add(self, image_ids: bytes, shard: int) -> None:
        """Add the images of a shard: SHA-256 digests, one after another."""
        pairs = np.empty(len(image_ids) // ID_BYTES, _PAIR)
        pairs["half"] = np.frombuffer(image_ids, ">u8")[:: ID_BYTES // 8]
        pairs["shard"] = shard
        self._open.append(pairs)
        self._num_open += len(pairs)
        if self._num_open >= self._block_ids:
            self._close_block()

    def repeated(self) -> Iterator[tuple[int, list[int]]]:
        """The halves that occur more than once, each with the numbers of its shards."""
        for pairs in self._ranges():
            halves = pairs["half"]
            is_again = np.zeros(len(pairs) + 1, bool)
            is_again[1:-1] = halves[1:] == halves[:-1]
            starts = np.flatnonzero(~is_again[:-1] & is_again[1:])
            ends = np.flatnonzero(is_again[:-1] & ~is_again[1:]) + 1
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
                yield int(halves[start]), pairs["shard"][start:end].tolist()

    def shards_of(self, halves: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
        """Those of `halves` that are here, each with the numbers of its shards."""
        wanted = np.unique(np.fromiter(halves, np.uint64))
        for pairs in self._ranges() if len(wanted) else ():
            found = pairs[np.isin(pairs["half"], wanted)]
            for half in np.unique(found["half"]).tolist():
                yield half, found["shard"][found["half"] == half].tolist()

    def _close_block(self) -> None:
        block = self._sorted_open()
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the ids
            self._file.seek(0, 2)
            self._file.write(block.tobytes())
            self._file.flush()
        except OSError as error:
            place = tempfile.gettempdir()
            raise StorageError(
                f"no room for the ids of images in {place}: {error.strerror or error} "
                "(TMPDIR names another folder)"
            ) from error
        self._ends.append(_range_ends(block))
        self._open, self._num_open = [], 0

    def _sorted_open(self) -> Pairs:
        pairs = np.concatenate([np.empty(0, _PAIR), *self._open])
        return pairs[np.argsort(pairs["half"], kind="stable")]

    def _ranges(self) -> Iterator[Pairs]:
        """All pairs, a range of halves after another, each in order."""
        last = self._sorted_open()
        if self._file is None:
            yield last
            return
        last_ends = _range_ends(last)
        for number in range(_NUM_RANGES):
            parts = [last[_span(last_ends, number)]]
            start = 0
            for ends in self._ends:
                span = _span(ends, number)
                self._file.seek((start + span.start) * _PAIR.itemsize)
                data = self._file.read((span.stop - span.start) * _PAIR.itemsize)
                parts.append(np.frombuffer(data, _PAIR))
                start += int(ends[-1])
            pairs = np.concatenate(parts)
            yield pairs[np.argsort(pairs["half"], kind="stable")]


def half_of(image_id: str) -> int:
    """The first 64 bits of an id in hex; 0 for another text, which no image has."""
    try:
        return int(image_id[:16], 16)
    except ValueError:
        return 0


def _range_ends(block: Pairs) -> npt.NDArray[np.int64]:
    return np.append(np.searchsorted(block["half"], _BOUNDS), len(block))


def _span(ends: npt.NDArray[Any], number: int) -> slice:
    return slice(int(ends[number - 1]) if number else 0, int(ends[number]))
