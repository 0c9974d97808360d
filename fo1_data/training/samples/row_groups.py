"""Row groups of finished datasets: listing, the random order of an epoch, and a small cache of groups."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa

from fo1_data.dataset.layout import split_and_index
from fo1_data.dataset.prefetch import map_ahead
from fo1_data.dataset.reader import open_dataset, open_parquet
from fo1_data.errors import DatasetError
from fo1_data.storage.store import Store, open_store
from schemas.dataset import ManifestFile

_FOOTER_READERS = 16

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
        store = open_store(self.address)
        with open_parquet(store, self.path) as parquet:
            table = parquet.read_row_group(self.number, columns=columns)
        if table.num_rows != self.num_rows:
            raise DatasetError(
                f"{store.address(self.path)} cannot be read: row group {self.number} has "
                f"{table.num_rows} rows, the manifest says {self.num_rows}"
            )
        return table


def list_row_groups(address: str, split: str | None = None) -> list[RowGroup]:
    """List the row groups of a dataset, or of one of its splits, in order. Raises DatasetError.

    The manifest says them; those of files that an older version wrote are read from the files' footers.
    """
    dataset = open_dataset(address)
    files = [file for file in dataset.data_files() if split is None or _split_of(file) == split]
    unlisted = [file.path for file in files if file.row_group_rows is None]
    footers = map_ahead(lambda path: _read_sizes(dataset.store, path), unlisted, _FOOTER_READERS)
    groups: list[RowGroup] = []
    for file in files:
        sizes = file.row_group_rows if file.row_group_rows is not None else next(footers)
        groups += [RowGroup(address, file.path, number, size) for number, size in enumerate(sizes)]
    return groups


def _split_of(file: ManifestFile) -> str | None:
    place = split_and_index(file.path)
    return place[0] if place else None


def _read_sizes(store: Store, path: str) -> list[int]:
    with open_parquet(store, path) as parquet:
        footer = parquet.metadata
        return [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]


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
    windows = _shuffle_windows([(group, groups[group]) for group in order], window, rng)
    return np.concatenate([np.zeros((0, 2), np.int64), *windows])


def lane_windows(
    sizes: Sequence[int], window: int, seed: int, epoch: int, share: range
) -> Iterator[np.ndarray]:
    """The part of an epoch that one of several readers yields: windows in the form of `shuffled_order`.

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
) -> Iterator[np.ndarray]:
    """For each `window` of pieces in order, group and position of their rows, (rows, 2), shuffled."""
    for start in range(0, len(pieces), window):
        neighbours = [
            np.stack([np.full(len(rows), group), rows], axis=1)
            for group, rows in pieces[start : start + window]
        ]
        together = np.concatenate(neighbours)
        yield together[rng.permutation(len(together))]
