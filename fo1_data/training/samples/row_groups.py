"""The row groups of finished datasets: listed once, shuffled anew each epoch, read one by one, few held."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa

from fo1_data.dataset.layout import split_and_index
from fo1_data.dataset.reader import open_dataset, open_parquet
from fo1_data.storage.store import open_store

Read = TypeVar("Read")


@dataclass(frozen=True)
class RowGroup:
    """One row group of a data file of the dataset at `address`."""

    address: str
    path: str
    number: int
    num_rows: int

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Its rows; `columns`: Parquet's paths of those that are wanted. Raises DatasetError."""
        with open_parquet(open_store(self.address), self.path) as parquet:
            return parquet.read_row_group(self.number, columns=columns)


def list_row_groups(address: str, split: str | None = None) -> list[RowGroup]:
    """The row groups of a dataset, or of one of its splits, in order. Raises DatasetError."""
    dataset = open_dataset(address)
    found: list[RowGroup] = []
    for file in dataset.data_files():
        place = split_and_index(file.path)
        if split is not None and (place is None or place[0] != split):
            continue
        with open_parquet(dataset.store, file.path) as parquet:
            footer = parquet.metadata
            sizes = [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
        found += [RowGroup(address, file.path, number, size) for number, size in enumerate(sizes)]
    return found


class HeldGroups(Generic[Read]):
    """Groups by their number, each loaded when it is asked for; the `most` asked for last are held."""

    def __init__(self, load: Callable[[int], Read], most: int) -> None:
        self._load, self._most = load, most
        self._held: OrderedDict[int, Read] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def __getitem__(self, group: int) -> Read:
        if group not in self._held:
            while len(self._held) >= self._most:
                self._held.popitem(last=False)
            self._held[group] = self._load(group)
        self._held.move_to_end(group)
        return self._held[group]


def shuffled_order(groups: Sequence[np.ndarray], window: int, seed: int, epoch: int) -> np.ndarray:
    """(rows, 2) group and position in it, in the order of an epoch: groups shuffled, and the rows within
    each `window` of neighbouring groups. `groups`: the positions that each group gives."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(groups)).tolist()
    return _mixed([(one, groups[one]) for one in order], window, rng)


def lane_order(sizes: Sequence[int], window: int, seed: int, epoch: int, share: range) -> np.ndarray:
    """The rows of an epoch that one of several readers gives, as `shuffled_order` has them.

    All groups are shuffled and put one after the other; `share` is the reader's stretch of that, so that
    no group but those on a border is read by two of them. `sizes`: rows of each group.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(sizes))
    ends = np.cumsum(np.asarray(sizes)[order])
    pieces = []
    for group, end in zip(order.tolist(), ends.tolist(), strict=True):
        start = end - sizes[group]
        first, last = max(share.start, start), min(share.stop, end)
        if first < last:
            pieces.append((group, np.arange(first - start, last - start)))
    return _mixed(pieces, window, np.random.default_rng([seed, epoch, share.start]))


def _mixed(pieces: Sequence[tuple[int, np.ndarray]], window: int, rng: np.random.Generator) -> np.ndarray:
    """(rows, 2) group and position: the pieces in their order, the rows of each `window` of them mixed."""
    parts = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(pieces), window):
        near = [
            np.stack([np.full(len(rows), group), rows], axis=1)
            for group, rows in pieces[start : start + window]
        ]
        together = np.concatenate(near)
        parts.append(together[rng.permutation(len(together))])
    return np.concatenate(parts)
