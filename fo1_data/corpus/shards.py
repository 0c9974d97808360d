"""Shards: a corpus divided into units of work, always the same for the same listing.

Entries of one image, its tiles, are in one shard, even if they are more than a shard has otherwise.

A shard's id depends on its entries and not on its position, so that finished work stays valid when a corpus
grows at its end. Does not open images.
"""

import hashlib
from array import array
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, overload

import numpy as np

from fo1_data.corpus.entry_list import EntryList
from schemas.corpus import CorpusImage, Shard

_ID_BYTES = 8


class ShardPlan(Sequence[Shard]):
    """The shards of a corpus. Each is made when it is asked for; 8 bytes are held of it besides its entries.

    listing_sha256: SHA-256 (hex) of all entries in order, independent of the shard size.
    """

    def __init__(
        self, entries: EntryList, ends: "array[int]", ids: "array[int]", listing_sha256: str
    ) -> None:
        """ends: for each shard the place after its last entry."""
        self.entries, self.listing_sha256 = entries, listing_sha256
        self._ends, self._ids = ends, ids
        self._ordered: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None = None

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, place: int) -> Shard: ...
    @overload
    def __getitem__(self, place: slice) -> list[Shard]: ...
    def __getitem__(self, place: int | slice) -> Shard | list[Shard]:
        if isinstance(place, slice):
            return [self[number] for number in range(len(self))[place]]
        index = range(len(self))[place]
        images = self.entries[self._start(index) : self._ends[index]]
        return Shard(shard_id=_text_of(self._ids[index]), index=index, images=images)

    def _start(self, index: int) -> int:
        return self._ends[index - 1] if index else 0

    def ids(self) -> Iterator[str]:
        """The ids of the shards, in order."""
        return map(_text_of, self._ids)

    def num_images(self, shard_id: str) -> int | None:
        """How many images the shard of that id has; None if the plan has none."""
        if self._ordered is None:
            ids = np.frombuffer(self._ids, np.uint64) if self._ids else np.zeros(0, np.uint64)
            order = np.argsort(ids, kind="stable").astype(np.uint32)
            self._ordered = ids[order], order
        ids, order = self._ordered
        try:
            number = np.uint64(int(shard_id, 16))
        except (ValueError, OverflowError):
            return None
        place = int(np.searchsorted(ids, number))
        if place == len(ids) or ids[place] != number:
            return None
        index = int(order[place])
        return self._ends[index] - self._start(index)

    def without(self, done: Container[str]) -> "Collection[Shard]":
        """The shards whose ids are not in `done`, in order."""
        return _Shards(self, array("I", (n for n, shard_id in enumerate(self.ids()) if shard_id not in done)))


class _Shards(Collection[Shard]):
    """Some shards of a plan, by their numbers."""

    def __init__(self, plan: ShardPlan, numbers: "array[int]") -> None:
        self._plan, self._numbers = plan, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Shard]:
        return (self._plan[number] for number in self._numbers)

    def __contains__(self, shard: object) -> bool:
        return any(shard == other for other in self)


def plan_shards(
    entries: Iterable[CorpusImage],
    shard_size: int,
    group_sizes: Iterable[int] | None = None,
    alone: Container[int] = (),
) -> ShardPlan:
    """Divide entries, in their order, into shards of at most `shard_size`.

    group_sizes: how many entries follow each other that stay together; a larger group is a shard of its own.
    Without it every entry is a group, so that only the last shard may have fewer. alone: the numbers of
    groups that are shards of their own.
    """
    if shard_size < 1:
        raise ValueError(f"shard_size must be at least 1, not {shard_size}")
    kept = entries if isinstance(entries, EntryList) else EntryList(entries)
    listing = hashlib.sha256()
    ids, ends = array("Q"), array("Q")
    documents = kept.documents()
    for size in _shard_sizes(len(kept), shard_size, group_sizes, alone):
        parts = b"".join(map(_with_length, islice(documents, size)))
        listing.update(parts)
        ids.append(_number_of(hashlib.sha256(parts).digest()))
        ends.append((ends[-1] if ends else 0) + size)
    if len(np.unique(np.frombuffer(ids, np.uint64) if ids else np.zeros(0))) < len(ids):
        ids = _told_apart(ids)
    return ShardPlan(kept, ends, ids, listing.hexdigest())


def _shard_sizes(
    num_entries: int, shard_size: int, group_sizes: Iterable[int] | None, alone: Container[int]
) -> Iterator[int]:
    """How many entries each shard has."""
    if group_sizes is None:
        yield from (min(shard_size, num_entries - start) for start in range(0, num_entries, shard_size))
        return
    size = 0
    for number, group in enumerate(group_sizes):
        if size and (size + group > shard_size or number in alone):
            yield size
            size = 0
        size += group
        if number in alone:
            yield size
            size = 0
    if size:
        yield size


def _told_apart(ids: "array[int]") -> "array[int]":
    """The same entries listed again are another shard: its id includes how often they occurred."""
    seen: dict[int, int] = {}
    others = array("Q")
    for number in ids:
        times = seen[number] = seen.get(number, 0) + 1
        if times > 1:
            parts = (_text_of(number).encode(), str(times).encode())
            number = _number_of(hashlib.sha256(b"".join(map(_with_length, parts))).digest())
        others.append(number)
    return others


_text_of: Callable[[int], str] = "{:016x}".format


def _number_of(digest: bytes) -> int:
    return int.from_bytes(digest[:_ID_BYTES], "big")


def _with_length(part: bytes) -> bytes:
    return len(part).to_bytes(8, "big") + part
