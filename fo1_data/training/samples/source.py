"""The examples of a training run: rows of datasets and entries of gold corpora, in a reproducible order.

A source is divided into groups: the row groups of a dataset's Parquet files, or 1,000 entries of a corpus.
Each epoch shuffles the groups, then the rows within a window of neighbouring groups; the order depends only
on seed and epoch. So a place in the endless series of epochs names the same row on every worker, a run
resumes within an epoch from its step number, and memory holds one window of groups.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import chain, groupby
from os.path import commonprefix
from typing import overload

import numpy as np
import pyarrow.compute as pc

from fo1_data.corpus.readers import load_listing
from fo1_data.dataset.layout import MANIFEST
from fo1_data.dataset.prefetch import map_ahead
from fo1_data.dataset.reader import open_parquet
from fo1_data.dataset.rows import record_to_row
from fo1_data.errors import ConfigError, DatasetError
from fo1_data.storage.addresses import normalise
from fo1_data.storage.store import Store, open_store
from fo1_data.training.samples.open_examples import TrainingExample, row_to_example
from fo1_data.training.samples.row_groups import GroupCache, RowGroup, list_row_groups, shuffled_order
from fo1_data.training.samples.tiled_rows import RowPart, parts_of_group
from schemas.corpus import CorpusImage
from schemas.parquet import IMAGE_SCHEMA

TRAIN, VALIDATION = "train", "validation"
_ENTRIES_PER_GROUP = 1_000
_READERS = 8
# The smallest column that shows how many boxes a row has.
_BOX_COLUMN = "regions.list.element.index"


@dataclass(frozen=True)
class Group:
    """Examples that are read together. `usable`: the positions of those that have a box.

    `load_without_pixels`: `load` without embedded images. `keys`: what names each example, used or not, for
    good: its image's id or address. `address`: of the dataset or corpus. `num_without_box`: images, none of
    them usable.
    """

    usable: np.ndarray
    load: Callable[[], Sequence[TrainingExample]] = field(repr=False)
    load_without_pixels: Callable[[], Sequence[TrainingExample]] = field(repr=False)
    keys: Callable[[], Sequence[str]] = field(repr=False)
    address: str = ""
    num_without_box: int = 0


class ExampleSource:
    """Examples by their place in the endless series of epochs. `len`: the number of places in an epoch.

    `num_without_box`: images that are in none of them, because they have no box.
    """

    def __init__(
        self, groups: list[Group], seed: int = 0, window_groups: int = 4, num_without_box: int = 0
    ) -> None:
        self.groups, self._seed, self._window = groups, seed, window_groups
        self.num_without_box = num_without_box
        # One more than a window, so that no group is read twice at a window's border.
        self._loaded = GroupCache(lambda group: self.groups[group].load(), window_groups + 1)
        self._order = lru_cache(maxsize=2)(self.order_of)

    def repeat(self, times: Sequence[np.ndarray]) -> None:
        """Set how often each usable image of each group occurs in an epoch. Call it before `at`."""
        self.groups = [
            replace(group, usable=np.repeat(group.usable, group_times))
            for group, group_times in zip(self.groups, times, strict=True)
        ]

    def weigh(self, weights: Mapping[str, float]) -> None:
        """Show the images of each address as often as its weight says; the smallest one once per epoch.

        `weights`: by normal address; others have the weight 1. Parts of a time are given to as many of the
        images. Raises ConfigError if an address with a weight is none of the source's.
        """
        addresses = [normalise(group.address) for group in self.groups]
        if unknown := sorted(set(weights) - set(addresses)):
            message = f"{unknown[0]} is not among {', '.join(sorted(set(addresses)))}"
            raise ConfigError(f"source_weights: {message}")
        of_group = [weights.get(address, 1.0) for address in addresses]
        times = []
        for number, (group, weight) in enumerate(zip(self.groups, of_group, strict=True)):
            ratio = weight / min(of_group)
            rng = np.random.default_rng([self._seed, number])
            times.append(int(ratio) + (rng.random(len(group.usable)) < ratio % 1))
        self.repeat(times)

    def __len__(self) -> int:
        return sum(len(group.usable) for group in self.groups)

    def at(self, place: int) -> TrainingExample:
        """The example at a place; places 0 to `len - 1` are the first epoch."""
        epoch, rest = divmod(place, len(self))
        group, position = self._order(epoch)[rest].tolist()
        return self._loaded[group][position]

    def entries(self) -> Iterator[CorpusImage]:
        """The gold of each image without pixels, in the order of the groups, not of an epoch."""
        return (example.entry for group in self.groups for example in group.load_without_pixels())

    def order_of(self, epoch: int) -> np.ndarray:
        """The order of an epoch, (places, 2): group and position in the group."""
        return shuffled_order([group.usable for group in self.groups], self._window, self._seed, epoch)


def open_source(addresses: Sequence[str], seed: int = 0, window_groups: int = 4) -> ExampleSource:
    """Open datasets and gold corpora as one source.

    Raises DatasetError if no image has a box or a dataset is damaged, CorpusError if a corpus cannot be
    listed.
    """
    return source_of(
        [group for address in addresses for group in list_groups(address)], addresses, seed, window_groups
    )


def source_of(
    groups: Sequence[Group], addresses: Sequence[str], seed: int = 0, window_groups: int = 4
) -> ExampleSource:
    """The source of some groups of `addresses`. Raises DatasetError if no image has a box."""
    if not any(len(group.usable) for group in groups):
        raise DatasetError(f"{', '.join(addresses)}: no image with a box to train on")
    num_without_box = sum(group.num_without_box for group in groups)
    return ExampleSource(
        [group for group in groups if len(group.usable)], seed, window_groups, num_without_box
    )


def refuse_unreadable(addresses: Sequence[str], split: str | None = TRAIN) -> None:
    """Raise what `list_groups` would raise, as far as the first data file or the first image shows it."""
    for address in addresses:
        if open_store(address).exists(MANIFEST):
            for row_group in _row_groups(address, split)[:1]:
                with open_parquet(open_store(address), row_group.path):
                    pass
        else:
            load_listing(address, limit=1)


def list_groups(address: str, split: str | None = TRAIN) -> list[Group]:
    """The groups of a dataset's split (None: of all splits), or of a corpus, which has no splits.

    Raises DatasetError if the dataset has no such split.
    """
    if open_store(address).exists(MANIFEST):
        return _parquet_groups(address, split)
    entries = load_listing(address).entries
    # Names within the corpus: they stay the same if the corpus is moved.
    names = [entry.name for entry in entries]
    folder = commonprefix([min(names), max(names)]) if names else ""  # noqa: RUF071 (cut at a slash below)
    folder_length = folder.rfind("/") + 1
    return [
        _entry_group(address, entries[start : start + _ENTRIES_PER_GROUP], folder_length)
        for start in range(0, len(entries), _ENTRIES_PER_GROUP)
    ]


def _entry_group(address: str, entries: Sequence[CorpusImage], folder_length: int) -> Group:
    usable = np.array([index for index, entry in enumerate(entries) if entry.regions], dtype=np.int64)

    def load() -> list[TrainingExample]:
        return [TrainingExample(entry) for entry in entries]

    def keys() -> list[str]:
        return [entry.name[folder_length:] for entry in entries]

    return Group(usable, load, load, keys, address, len(entries) - len(usable))


def has_split(address: str, split: str) -> bool:
    """Whether an address is a dataset that has rows of a split."""
    return open_store(address).exists(MANIFEST) and bool(list_row_groups(address, split))


def _parquet_groups(address: str, split: str | None) -> list[Group]:
    store = open_store(address)
    row_groups = _row_groups(address, split)
    by_file = [list(in_file) for _, in_file in groupby(row_groups, key=lambda row_group: row_group.path)]
    found = chain.from_iterable(map_ahead(partial(_usable_rows, store), by_file, _READERS))
    return [
        Group(
            usable,
            partial(_RowExamples, row_group, parts),
            partial(_RowExamples, row_group, parts, pixels=False),
            partial(_image_ids, row_group, parts),
            address,
            num_without_box,
        )
        for row_group, (usable, parts, num_without_box) in zip(row_groups, found, strict=True)
    ]


def _usable_rows(
    store: Store, row_groups: Sequence[RowGroup]
) -> list[tuple[np.ndarray, list[RowPart] | None, int]]:
    """For each row group of a file: the positions of the examples that have a box, the examples if they are
    not the rows themselves, and how many rows have no box."""
    with open_parquet(store, row_groups[0].path) as parquet:
        columns = [
            parquet.read_row_group(row_group.number, columns=[_BOX_COLUMN]).column("regions")
            for row_group in row_groups
        ]
        parts = [parts_of_group(parquet, row_group.number) for row_group in row_groups]
    lengths = [pc.fill_null(pc.list_value_length(column), 0).to_numpy() for column in columns]
    return [
        (
            np.flatnonzero(length if part is None else length[[row for row, _ in part]]),
            part,
            int((length == 0).sum()),
        )
        for length, part in zip(lengths, parts, strict=True)
    ]


def _row_groups(address: str, split: str | None) -> list[RowGroup]:
    listed = list_row_groups(address, split)
    if split == TRAIN and not listed and list_row_groups(address):
        raise DatasetError(
            f"{address} has no split {TRAIN}: label with less --validation-share and --test-share"
        )
    return listed


def _image_ids(group: RowGroup, parts: Sequence[RowPart] | None) -> list[str]:
    ids: list[str] = group.read(["image_id"]).column("image_id").to_pylist()
    return ids if parts is None else [ids[row] for row, _ in parts]


class _RowExamples(Sequence[TrainingExample]):
    """The rows of a group as examples, made on access, because a worker uses only a part of each group.

    parts: of large rows, what examples show; None: every row is one.
    """

    def __init__(self, group: RowGroup, parts: Sequence[RowPart] | None = None, pixels: bool = True) -> None:
        self._group, self._parts = group, parts
        columns = [name for name in IMAGE_SCHEMA.names if pixels or name != "image"]
        self._table = group.read(columns)

    def __len__(self) -> int:
        return int(self._table.num_rows) if self._parts is None else len(self._parts)

    @overload
    def __getitem__(self, index: int) -> TrainingExample: ...
    @overload
    def __getitem__(self, index: slice) -> list[TrainingExample]: ...
    def __getitem__(self, index: int | slice) -> TrainingExample | list[TrainingExample]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        row, window_xyxy = (index, None) if self._parts is None else self._parts[index]
        try:
            (record,) = self._table.slice(row, 1).to_pylist()
        except ValueError as error:  # text that is not UTF-8
            raise DatasetError(f"{self._group.path} of {self._group.address} is damaged: {error}") from error
        return row_to_example(record_to_row(record), window_xyxy)
