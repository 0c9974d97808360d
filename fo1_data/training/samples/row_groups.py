"""Row groups of finished datasets: listing, the random order of an epoch, and a small cache of groups."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa

from fo1_data.dataset.layout import split_and_index
from fo1_data.dataset.reader import open_dataset, open_parquet
from fo1_data.storage.store import open_store

Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class RowGroup:
    """One row group of a data file of the dataset at `address`."""

    address: str
    path: str
    number: int
    num_rows: int

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read its rows. `columns`: Parquet column paths; None: all. Raises DatasetError."""
        with open_parquet(open_store(self.address), self.path) as parquet:
            return parquet.read_row_group(self.number, columns=columns)


def list_row_groups(address: str, split: str | None = None) -> list[RowGroup]:
    """List the row groups of a dataset, or of one of its splits, in order. Raises DatasetError."""
    dataset = open_dataset(address)
    groups: list[RowGroup] = []
    for file in dataset.data_files():
        part = split_and_index(file.path)
        if split is not None and (part is None or part[0] != split):
            continue
        with open_parquet(dataset.store, file.path) as parquet:
            footer = parquet.metadata
            sizes = [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
        groups += [RowGroup(address, file.path, number, size) for number, size in enumerate(sizes)]
    return groups


class GroupCache(Generic[Loaded]):
    """Groups by number, loaded on access; keeps the `max_groups` that were used last."""

    def __init__(self, load: Callable[[int], Loaded], max_groups: int) -> None:
        self._load, self._max_groups = load, max_groups
        self._groups: OrderedDict[int, Loaded] = OrderedDict()

    def __len__(self) -> int:
        return len(self._groups)

    def __getitem__(self, group: int) -> Loaded:
        if group not in self._groups:
            while len(self._groups) >= self._max_groups:
                self._groups.popitem(last=False)
            self._groups[group] = self._load(group)
        self._groups.move_to_end(group)
        return self._groups[group]


def shuffled_order(groups: Sequence[np.ndarray], window: int, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch, (rows, 2): group and position in the group.

    Groups are shuffled, then the rows within each `window` of neighbouring groups. `groups`: the usable
    positions of each group.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(groups)).tolist()
    return _shuffle_windows([(group, groups[group]) for group in order], window, rng)


def lane_order(sizes: Sequence[int], window: int, seed: int, epoch: int, share: range) -> np.ndarray:
    """The part of an epoch that one of several readers yields, in the form of `shuffled_order`.

    All groups are shuffled and laid end to end; `share` is the reader's range of rows in that series. So
    only a group on a border is read by two readers. `sizes`: number of rows of each group.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(sizes))
    ends = np.cumsum(np.asarray(sizes)[order])
    pieces = []
    for group, end in zip(order.tolist(), ends.tolist(), strict=True):
        start = end - sizes[group]
        first, last = max(share.start, start), min(share.stop, end)
        if first < last:
            pieces.append((group, np.arange(first - start, last - start)))
    return _shuffle_windows(pieces, window, np.random.default_rng([seed, epoch, share.start]))


def _shuffle_windows(
    pieces: Sequence[tuple[int, np.ndarray]], window: int, rng: np.random.Generator
) -> np.ndarray:
    """(rows, 2) group and position; pieces in order, with the rows of each `window` of pieces shuffled."""
    parts = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(pieces), window):
        neighbours = [
            np.stack([np.full(len(rows), group), rows], axis=1)
            for group, rows in pieces[start : start + window]
        ]
        together = np.concatenate(neighbours)
        parts.append(together[rng.permutation(len(together))])
    return np.concatenate(parts)
