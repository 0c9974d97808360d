"""The pieces of a listing as they are read, and the pieces of one image put together at the end.

Of each piece a hash of the image's name is held: only images whose hash occurs twice are looked at again.
"""

from array import array
from bisect import bisect_right
from typing import Any

import numpy as np

from fo1_data.corpus.entry_list import EntryList
from fo1_data.corpus.united import Contradiction, unite
from schemas.corpus import CorpusImage


class Pieces:
    """What sources say of images, in order of reading."""

    def __init__(self) -> None:
        self._entries = EntryList()
        self._hashes = array("q")
        # The number of the first piece of each stretch that is of one source.
        self._starts = array("Q")
        self._sources: list[str] = []

    def __len__(self) -> int:
        return len(self._hashes)

    def add_address(self, source: str, uri: str) -> None:
        """Add an image of which only the address is known. Raises ValueError if it is not UTF-8 text."""
        self._entries.append_address(uri)
        self._add(source, uri)

    def add(self, source: str, entry: CorpusImage) -> None:
        """Add what a source says of an image. Raises ValueError if a text of it is not UTF-8."""
        self._entries.append(entry)
        self._add(source, entry.name)

    def _add(self, source: str, name: str) -> None:
        if not self._sources or self._sources[-1] != source:
            self._starts.append(len(self._hashes))
            self._sources.append(source)
        self._hashes.append(hash(name))

    def source_of(self, number: int) -> str:
        """The source of a piece."""
        return self._sources[bisect_right(self._starts, number) - 1]

    def unite(self) -> tuple[EntryList, list[tuple[int, str, Contradiction]]]:
        """An entry for each image, in the order of first pieces; contradictions with piece and image."""
        repeated = self._repeated()
        if not len(repeated):
            return self._entries, []
        contradictions: list[tuple[int, str, Contradiction]] = []
        united: dict[str, CorpusImage] = {}
        first_of: dict[str, int] = {}
        later: set[int] = set()
        for number in map(int, repeated):
            entry = self._entries[number]
            name = entry.name
            if name not in united:
                united[name], first_of[name] = entry, number
                continue
            later.add(number)
            united[name], found = unite(united[name], entry)
            contradictions += [(number, name, contradiction) for contradiction in found]
        names = {number: name for name, number in first_of.items()}
        entries = EntryList()
        for number, record in enumerate(self._entries.records()):
            if number in names:
                entries.append(united[names[number]])
            elif number not in later:
                entries.append_record(record)
        return entries, contradictions

    def _repeated(self) -> "np.ndarray[Any, Any]":
        """The numbers of the pieces whose hash is that of another one."""
        hashes = np.frombuffer(self._hashes, np.int64) if self._hashes else np.zeros(0, np.int64)
        ordered = np.sort(hashes)
        twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        del ordered
        return np.flatnonzero(np.isin(hashes, twice)) if len(twice) else twice
