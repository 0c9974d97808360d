"""Entries of a corpus in little memory: a sequence that is appended to, then read.

An entry of which nothing but the address is known is kept as its address, any other as its JSON, with the
place of a hidden image behind it. They are held in compressed chunks; those beyond `HELD_BYTES` lie in a
temporary file without a name, so that memory does not grow with the corpus.
"""

import os
import re
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import IO, Any, overload

import pyarrow as pa
from pydantic_core import from_json, to_json

from fo1_data.errors import StorageError
from schemas.corpus import CorpusImage, Origin

HELD_BYTES = 128 * 2**20
_CHUNK_RECORDS = 1024
_CHUNK_BYTES = 2**18
_CODEC = pa.Codec("zstd", compression_level=1)

_HEAD, _TAIL = (part.encode() for part in CorpusImage(uri="").model_dump_json().split('""', 1))
# Between an entry's JSON, where it would be escaped, and the place of a hidden image.
_ORIGIN = b"\t"
# What JSON escapes: a chunk without it is turned into JSON without a look at each address.
_ESCAPED = re.compile(rb'["\\\x00-\x1f]')


class EntryList(Sequence[CorpusImage]):
    """Entries in order; a slice is a list. Appending is for one thread, reading for several.

    Raises StorageError if the temporary folder has no room for the entries.
    """

    def __init__(self, entries: Iterable[CorpusImage] = (), held_bytes: int = HELD_BYTES) -> None:
        self._most_held_bytes = held_bytes
        self._open: list[bytes] = []
        self._open_bytes = 0
        self._num_closed = 0
        self._starts = array("Q")  # the number of the first entry of each chunk
        self._sizes = array("Q")  # of each chunk, without compression
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._file: IO[bytes] | None = None
        self._ends = array("Q", [0])  # of each chunk in the file
        self._last: tuple[int, list[bytes]] = (-1, [])
        for entry in entries:
            self.append(entry)

    def append(self, entry: CorpusImage) -> None:
        """Add an entry. Raises ValueError if a text of it is not UTF-8."""
        text = entry.model_dump_json().encode()
        if entry.is_hidden:
            self.append_record(text + _ORIGIN + to_json(entry.origin))
            return
        is_plain = text.endswith(_TAIL) and not entry.uri.startswith("{") and "\n" not in entry.uri
        self.append_record(entry.uri.encode() if is_plain else text)

    def append_address(self, uri: str) -> None:
        """Add an entry of which only the address is known. Raises ValueError if it is not UTF-8 text."""
        record = uri.encode()
        if record.startswith(b"{") or b"\n" in record:
            self.append(CorpusImage(uri=uri))
        else:
            self.append_record(record)

    def append_record(self, record: bytes) -> None:
        """Add an entry as another list keeps it."""
        self._open.append(record)
        self._open_bytes += len(record)
        if self._open_bytes >= _CHUNK_BYTES or len(self._open) >= _CHUNK_RECORDS:
            self._close_chunk()

    def _close_chunk(self) -> None:
        data = b"\n".join(self._open)
        packed = _CODEC.compress(data, asbytes=True)
        self._starts.append(self._num_closed)
        self._sizes.append(len(data))
        self._num_closed += len(self._open)
        self._open, self._open_bytes = [], 0
        if self._file is None and self._held_bytes + len(packed) <= self._most_held_bytes:
            self._held.append(packed)
            self._held_bytes += len(packed)
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as the list
            self._file.write(packed)
        except OSError as error:
            place = tempfile.gettempdir()
            raise StorageError(
                f"no room for the list of images in {place}: {error.strerror or error} "
                "(TMPDIR names another folder)"
            ) from error
        self._ends.append(self._ends[-1] + len(packed))

    def __len__(self) -> int:
        return self._num_closed + len(self._open)

    def records(self, start: int = 0) -> Iterator[bytes]:
        """The entries from `start` on as they are kept: an address, or JSON, which starts with `{`."""
        number = bisect_right(self._starts, start) - 1
        skipped = start - (self._starts[number] if number >= 0 else 0)
        if start >= self._num_closed:
            return islice(self._open, start - self._num_closed, None)
        chunks = (self._chunk(place) for place in range(number, len(self._starts)))
        return islice(chain(chain.from_iterable(chunks), self._open), skipped, None)

    def _chunk(self, number: int) -> list[bytes]:
        last, records = self._last
        if number != last:
            data = _CODEC.decompress(self._packed(number), self._sizes[number], asbytes=True)
            records = data.split(b"\n")
            self._last = (number, records)
        return records

    def _packed(self, number: int) -> bytes:
        if number < len(self._held):
            return self._held[number]
        assert self._file is not None
        place = number - len(self._held)
        return os.pread(self._file.fileno(), self._ends[place + 1] - self._ends[place], self._ends[place])

    def documents(self) -> Iterator[bytes]:
        """Each entry as JSON with all its fields, as `model_dump_json` writes it."""
        return map(record_to_json, self.records())

    def annotated(self) -> Iterator[CorpusImage]:
        """The entries of which more than the address is known."""
        return (record_to_entry(record) for record in self.records() if record[:1] == b"{")

    def __iter__(self) -> Iterator[CorpusImage]:
        return map(record_to_entry, self.records())

    @overload
    def __getitem__(self, place: int) -> CorpusImage: ...
    @overload
    def __getitem__(self, place: slice) -> list[CorpusImage]: ...
    def __getitem__(self, place: int | slice) -> CorpusImage | list[CorpusImage]:
        if isinstance(place, slice):
            places = range(len(self))[place]
            if places.step == 1:
                return [record_to_entry(record) for record in islice(self.records(places.start), len(places))]
            return [self[number] for number in places]
        return record_to_entry(next(self.records(range(len(self))[place])))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(
            one == another for one, another in zip(self, other, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown: list[Any] = self[:3]
        return f"EntryList({shown}{', ...' if len(self) > len(shown) else ''})"


def record_to_entry(record: bytes) -> CorpusImage:
    """An entry from what `EntryList.records` gives."""
    if record[:1] != b"{":
        return CorpusImage(uri=record.decode())
    document, _, place = record.partition(_ORIGIN)
    entry = CorpusImage.model_validate_json(document)
    if not place:
        return entry
    uri, inner, span = from_json(place)
    return entry.hidden_as(entry.uri, entry.inner, Origin(uri, inner, span and tuple(span)))


def record_to_json(record: bytes) -> bytes:
    """The JSON of an entry from what `EntryList.records` gives."""
    if record[:1] == b"{":
        return record.partition(_ORIGIN)[0]
    if _ESCAPED.search(record):
        return _HEAD + to_json(record.decode()) + _TAIL
    return b'%b"%b"%b' % (_HEAD, record, _TAIL)
