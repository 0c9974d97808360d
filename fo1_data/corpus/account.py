"""The account of a listing: for every source and kind of content, found = attached + rejected."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from fo1_data.corpus.listing import LateNote
from fo1_data.corpus.places import listing_reject, storable
from fo1_data.corpus.united import Contradiction
from fo1_data.errors import CorpusError
from schemas.images import Reject
from schemas.sources import ContentKind, SourceCounts

# Messages of rejects that the account of a source keeps.
MOST_REASONS = 3


@dataclass(frozen=True)
class _RefusedPart:
    """What is not attached, and its place: after how many pieces, refusals by a reader first."""

    place: tuple[int, int]
    source: str
    counts: Mapping[ContentKind, int]
    reject: Reject


class Account:
    """Counts by source, filled by `gathering.gather`; `close` ends it, then it can be read."""

    def __init__(self) -> None:
        self.found: dict[str, Counter[ContentKind]] = defaultdict(Counter)
        self.attached: dict[str, Counter[ContentKind]] = defaultdict(Counter)
        self.rejected: dict[str, Counter[ContentKind]] = defaultdict(Counter)
        self.rejects: list[Reject] = []
        self._messages: dict[str, list[str]] = defaultdict(list)
        self.notes: dict[str, list[str]] = defaultdict(list)
        self.late_notes: list[LateNote] = []
        self._open: dict[tuple[str, ContentKind], int] = {}
        self._num_plain: dict[str, int] = {}
        self._refused: list[_RefusedPart] = []

    @property
    def is_settled(self) -> bool:
        """Whether all that was found is attached or rejected."""
        return not self._open

    def find(self, source: str, counts: Mapping[ContentKind, int]) -> None:
        """Count what a source holds."""
        self.found[source].update(counts)
        self._add(source, counts, 1)

    def attach(self, source: str, counts: Mapping[ContentKind, int]) -> None:
        """Count what is attached to an image."""
        self.attached[source].update(counts)
        self._add(source, counts, -1)

    def attach_plain(self, source: str) -> None:
        """Count one image found and attached."""
        if source not in self._num_plain:
            self._num_plain[source] = 0
            self.found[source][ContentKind.IMAGES] += 0
            self.attached[source][ContentKind.IMAGES] += 0
        self._num_plain[source] += 1

    def forget_plain(self, source: str) -> None:
        """Leave an image beyond a limit out, but not its source."""
        self.found[source].update({})

    def reject(self, num_pieces: int, source: str, counts: Mapping[ContentKind, int], reject: Reject) -> None:
        """Count what is refused after `num_pieces` pieces were read."""
        self._add(source, counts, -1)
        self._refused.append(_RefusedPart((num_pieces, 0), source, counts, reject))

    def contradict(self, number: int, source: str, name: str, contradiction: Contradiction) -> None:
        """Count what of piece `number` is attached and contradicts an earlier piece of the image `name`."""
        self.attached[source].subtract(contradiction.counts)
        message = f"{source}: {name}: {contradiction.message}; what was read first is kept"
        reject = listing_reject(name, "contradiction", message)
        self._refused.append(_RefusedPart((number, 1), source, contradiction.counts, reject))

    def note(self, source: str, message: str) -> None:
        """Keep what a reader decided about a source."""
        self.notes[source].append(storable(message))

    def forget(self, source: str, counts: Mapping[ContentKind, int]) -> None:
        """Take what lies beyond a limit out of the account."""
        self.found[source].subtract(counts)
        self._add(source, counts, -1)

    def _add(self, source: str, counts: Mapping[ContentKind, int], sign: int) -> None:
        for kind, count in counts.items():
            if count:
                total = self._open.get((source, kind), 0) + sign * count
                if total:
                    self._open[source, kind] = total
                else:
                    self._open.pop((source, kind), None)

    def close(self) -> None:
        """Reject what is still open, so that nothing found is lost without a word."""
        for source, number in self._num_plain.items():
            self.found[source][ContentKind.IMAGES] += number
            self.attached[source][ContentKind.IMAGES] += number
        for late in self.late_notes:
            for message in late.messages():
                self.note(late.source, message)
        self._refused.sort(key=lambda part: part.place)
        for (source, kind), count in self._open.items():
            if count < 0:
                raise CorpusError(
                    f"{source}: its reader attached or rejected {-count} more {kind} than it found"
                )
            message = f"{source}: {count} {kind} were not read"
            reject = listing_reject(source, "unaccounted", message)
            self._refused.append(_RefusedPart((0, 0), source, {kind: count}, reject))
        for part in self._refused:
            self.rejected[part.source].update(part.counts)
            self.rejects.append(part.reject)
            message = part.reject.message.removeprefix(f"{part.reject.uri}: ")
            messages = self._messages[part.source]
            is_shown = len(messages) < MOST_REASONS
            messages.append(message.removeprefix(f"{part.source}: ") if is_shown else "")

    def sources(self) -> list[SourceCounts]:
        """The account of each source, in the order in which they were read."""
        names = dict.fromkeys([*self.found, *self.attached, *self.rejected, *self._messages, *self.notes])
        return [
            SourceCounts(
                source=name,
                found=+self.found[name],
                attached=+self.attached[name],
                rejected=+self.rejected[name],
                rejects=len(self._messages[name]),
                reasons=self._messages[name][:MOST_REASONS],
                notes=self.notes[name],
            )
            for name in names
        ]
