"""What a training run reads: rows of datasets and entries of gold corpora, streamed in a set order.

A source is cut into groups: the row groups of a dataset's Parquet files, runs of a corpus' entries. Each
epoch shuffles the groups, and the rows within a window of neighbouring groups; the order is made of seed
and epoch alone. So a place in the endless series names the same row on every worker, a run goes on in the
middle of an epoch by its step number, and no more than a window of groups is held.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import groupby
from typing import overload

import numpy as np

from fo1_data.corpus.readers import read_corpus
from fo1_data.dataset.layout import MANIFEST
from fo1_data.dataset.reader import open_parquet
from fo1_data.dataset.rows import record_to_row
from fo1_data.errors import DatasetError
from fo1_data.storage.store import open_store
from fo1_data.training.samples.open_examples import Example, row_example
from fo1_data.training.samples.row_groups import HeldGroups, RowGroup, list_row_groups, shuffled_order
from schemas.corpus import CorpusImage
from schemas.parquet import IMAGE_SCHEMA

TRAIN = "train"
_ENTRIES_A_GROUP = 1_000
# Enough to tell how many boxes a row has, without reading anything else of it.
_BOX_COLUMN = "regions.list.element.index"


@dataclass(frozen=True)
class Group:
    """Some examples that are read together; `usable`: the positions of those that have a box.

    `load_known` leaves out embedded pixels.
    """

    usable: np.ndarray
    load: Callable[[], Sequence[Example]] = field(repr=False)
    load_known: Callable[[], Sequence[Example]] = field(repr=False)


class ExampleSource:
    """Examples by their place in the endless series of epochs. `len`: how many one epoch has.

    Raises DatasetError where no image has a box, CorpusError where a corpus cannot be listed.
    """

    def __init__(self, addresses: Sequence[str], seed: int = 0, window_groups: int = 4) -> None:
        groups = [group for address in addresses for group in _groups_of(address) if len(group.usable)]
        if not groups:
            raise DatasetError(f"{', '.join(addresses)}: no image with a box to train on")
        self._take(groups, seed, window_groups)

    def _take(self, groups: list[Group], seed: int, window_groups: int) -> None:
        self.groups, self._seed, self._window = groups, seed, window_groups
        # One more than a window, so that its border is crossed without reading twice.
        self._held = HeldGroups(lambda group: self.groups[group].load(), window_groups + 1)
        self._order = lru_cache(maxsize=2)(self._order_of)

    def repeat(self, times: Sequence[np.ndarray]) -> None:
        """Give each usable image of each group so many times an epoch; before anything is asked for."""
        self.groups = [
            replace(group, usable=np.repeat(group.usable, some))
            for group, some in zip(self.groups, times, strict=True)
        ]

    def __len__(self) -> int:
        return sum(len(group.usable) for group in self.groups)

    def at(self, place: int) -> Example:
        """The example at a place: places 0 to `len - 1` are the first epoch, each row once."""
        epoch, rest = divmod(place, len(self))
        group, position = self._order(epoch)[rest].tolist()
        return self._held[group][position]

    def entries(self) -> Iterator[CorpusImage]:
        """What is known of each image, pixels left out; group by group, in no epoch's order."""
        return (example.entry for group in self.groups for example in group.load_known())

    def _order_of(self, epoch: int) -> np.ndarray:
        return shuffled_order([group.usable for group in self.groups], self._window, self._seed, epoch)


def _groups_of(address: str) -> list[Group]:
    if open_store(address).exists(MANIFEST):
        return _parquet_groups(address)
    entries = [entry for entry in read_corpus(address) if isinstance(entry, CorpusImage)]
    return [
        _entry_group(entries[start : start + _ENTRIES_A_GROUP])
        for start in range(0, len(entries), _ENTRIES_A_GROUP)
    ]


def _entry_group(entries: list[CorpusImage]) -> Group:
    usable = np.array([place for place, entry in enumerate(entries) if entry.regions], dtype=np.int64)

    def load() -> list[Example]:
        return [Example(entry) for entry in entries]

    return Group(usable, load, load)


def _parquet_groups(address: str) -> list[Group]:
    """The row groups of a dataset's split `train`: what it is evaluated on trains nothing."""
    groups: list[Group] = []
    store = open_store(address)
    listed = list_row_groups(address, TRAIN)
    if not listed and list_row_groups(address):
        raise DatasetError(
            f"{address} has no split {TRAIN}: label with less --validation-share and --test-share"
        )
    for path, in_file in groupby(listed, key=lambda one: one.path):
        with open_parquet(store, path) as parquet:
            for one in in_file:
                rows = parquet.read_row_group(one.number, columns=[_BOX_COLUMN]).column("regions")
                usable = np.array([at for at, boxes in enumerate(rows.to_pylist()) if boxes], np.int64)
                known = partial(_RowExamples, one, pixels=False)
                groups.append(Group(usable, partial(_RowExamples, one), known))
    return groups


class _RowExamples(Sequence[Example]):
    """The rows of a group as examples, each made when it is asked for: workers share the rows of a group."""

    def __init__(self, group: RowGroup, pixels: bool = True) -> None:
        self._group = group
        known = [name for name in IMAGE_SCHEMA.names if pixels or name != "image"]
        self._table = group.read(known)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> list[Example]: ...
    def __getitem__(self, place: int | slice) -> Example | list[Example]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        try:
            (record,) = self._table.slice(place, 1).to_pylist()
        except ValueError as error:  # text that is none
            raise DatasetError(f"{self._group.path} of {self._group.address} is damaged: {error}") from error
        return row_example(record_to_row(record))
