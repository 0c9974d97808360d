"""Which shards are gathered into one file for each split: neighbours, up to the limits of a file.

The groups follow from the shards in their order and the sizes of their rows, so they are the same whatever
the order in which shards are done, and for every driver and resumed run. Does no input or output.
"""

from collections.abc import Container
from dataclasses import dataclass
from typing import NamedTuple

from schemas.shards import FileLimits, ShardReport


@dataclass(frozen=True)
class ShardGroup:
    """Neighbouring shards, in order; `first_index` is the index of the first."""

    first_index: int
    shard_ids: tuple[str, ...]


class _Size(NamedTuple):
    """What a done shard takes of a file."""

    shard_id: str
    rows: int
    num_bytes: int


class GroupPlan:
    """Finds the groups of a run as its shards are done.

    indices: of all shards of the run. gathered: the first indices of the groups that were gathered before.
    """

    def __init__(self, indices: range, limits: FileLimits, gathered: Container[int] = ()) -> None:
        self._limits, self._gathered = limits, gathered
        self._next, self._stop = indices.start, indices.stop
        self._waiting: dict[int, _Size] = {}
        self._members: list[str] = []
        self._rows = self._bytes = 0
        self._ready: list[ShardGroup] = []

    def add(self, report: ShardReport) -> None:
        """A shard is done. A second report of the same shard changes nothing."""
        if report.index >= self._next:
            self._waiting[report.index] = _size_of(report)
        while (following := self._waiting.pop(self._next, None)) is not None:
            self._append(following)
        if self._next == self._stop:
            self._close()

    def take_ready(self) -> list[ShardGroup]:
        """The groups that became complete since the last call. A shard alone needs no gathering."""
        ready, self._ready = self._ready, []
        return ready

    def _append(self, shard: _Size) -> None:
        is_full = self._rows + shard.rows > self._limits.rows
        if is_full or self._bytes + shard.num_bytes > self._limits.row_bytes:
            self._close()
        self._members.append(shard.shard_id)
        self._rows += shard.rows
        self._bytes += shard.num_bytes
        self._next += 1

    def _close(self) -> None:
        first_index = self._next - len(self._members)
        if len(self._members) > 1 and first_index not in self._gathered:
            self._ready.append(ShardGroup(first_index, tuple(self._members)))
        self._members, self._rows, self._bytes = [], 0, 0


def _size_of(report: ShardReport) -> _Size:
    num_bytes = report.row_bytes or sum(file.num_bytes for file in report.files)
    return _Size(report.shard_id, report.counts.images, num_bytes)
