"""A corpus as its forms read it: pieces of what a source says of an image, put together by image.

Every reader of a form yields items: how much a source holds (`Found`), what it says of one image (`Piece`),
what of it cannot be attached to an image, with the reason (`Refused`), and what the reader had to decide
(`Note`). `gather` unites the pieces of one image and counts, so that of every source and kind of content
found = attached + rejected.

Rules for a reader: `source` is the address of the listing file, archive, or folder (of label files beside
their images: of the folder, not of each file). `Found` is counted in what the source holds, never in what was
made of it. The `Found` of a record comes just before its `Piece` or `Refused`, so that a limit can end the
reading after any record. Two pieces may be of the same image. A `Piece` whose entry has boxes, phrases or
texts that no `Found` announced is a bug of the reader; content that was announced and came in no piece
becomes a reject `unaccounted`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fo1_data.corpus.listing_progress import ListingProgress
from fo1_data.corpus.places import listing_reject
from fo1_data.corpus.united import Contradiction, captions_of, unite
from fo1_data.errors import CorpusError
from schemas.corpus import CorpusImage
from schemas.images import Reject
from schemas.sources import ContentKind, SourceCounts

# Messages of rejects that the account of a source keeps.
MOST_REASONS = 3


@dataclass(frozen=True)
class Found:
    """A source holds `counts` of each kind, as counted in the source itself, before anything is attached."""

    source: str
    counts: Mapping[ContentKind, int]


@dataclass(frozen=True)
class Piece:
    """What a source says of one image. `sidecars`: how many files beside the image were read for it.

    may_repeat: a later piece may be of the same image, so that a limit does not end the reading.
    """

    source: str
    entry: CorpusImage
    sidecars: int = 0
    may_repeat: bool = False


@dataclass(frozen=True)
class Refused:
    """Content of a source that is attached to no image: `reject` names the reason and the place.

    `counts`: how much of each kind is lost by it. One reject may stand for many of the same reason.
    """

    source: str
    counts: Mapping[ContentKind, int]
    reject: Reject


@dataclass(frozen=True)
class Note:
    """What a reader decided about a source that its user should know; nothing is lost by it."""

    source: str
    message: str


Item = Found | Piece | Refused | Note


@dataclass(frozen=True)
class Listing:
    """The images of a corpus in order, what could not be listed, and the account of every source."""

    entries: list[CorpusImage] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    sources: list[SourceCounts] = field(default_factory=list)


def contents_of(entry: CorpusImage) -> Counter[ContentKind]:
    """How much of each kind an entry holds, sidecars left out. A region's caption and text count each."""
    regions = entry.regions or []
    captions = [text for region in regions for text in (region.caption, region.detailed_caption) if text]
    return Counter(
        {
            ContentKind.IMAGES: 1,
            ContentKind.BOXES: len(regions),
            ContentKind.CAPTIONS: len(captions) + len(captions_of(entry)),
            ContentKind.PHRASES: len(entry.phrases) + len(entry.caption_phrases),
            ContentKind.TEXTS: sum(region.text is not None for region in regions),
            ContentKind.COUNTS: len(entry.counts),
            ContentKind.ANSWERS: len(entry.answers),
        }
    )


def gather(
    items: Iterable[Item], limit: int | None = None, progress: ListingProgress | None = None
) -> Listing:
    """Unite the pieces of each image, in the order of the first piece, and account for every source.

    Contents of a later piece that contradict an earlier one are rejects. `limit`: at most so many images,
    with all that is said of them; the account leaves out what is read of other images after that, and
    reading stops at the record that reaches the limit if nothing more can be said of them. Memory: all
    entries.
    """
    account, progress = _Account(), progress or ListingProgress()
    entries: dict[str, CorpusImage] = {}
    is_full = may_repeat = False
    for item in items:
        if isinstance(item, Found):
            account.find(item.source, item.counts)
        elif is_full and _is_beyond(item, entries):
            if isinstance(item, Refused):
                account.forget(item.source, item.counts)
        elif isinstance(item, Refused):
            account.reject(item.source, item.counts, item.reject)
        elif isinstance(item, Note):
            account.notes[item.source].append(item.message)
        else:
            contents = contents_of(item.entry)
            contents[ContentKind.SIDECARS] = item.sidecars
            name = item.entry.name
            if name in entries:
                entries[name], contradictions = unite(entries[name], item.entry)
                for contradiction in contradictions:
                    contents.subtract(contradiction.counts)
                    account.reject(item.source, contradiction.counts, _reject(item, contradiction))
            elif limit is not None and len(entries) >= limit:
                account.forget(item.source, contents)
                continue
            else:
                entries[name] = item.entry
                progress.images = len(entries)
                says_more = contents.total() > 1 and item.entry.inner is None
                may_repeat = may_repeat or (item.may_repeat and says_more)
            account.settle(account.attached, item.source, contents)
        is_full = is_full or (limit is not None and len(entries) >= limit and account.is_settled)
        if is_full and not may_repeat:
            break
    account.close()
    return Listing(list(entries.values()), account.rejects, account.sources())


def _is_beyond(item: Refused | Note | Piece, entries: Mapping[str, CorpusImage]) -> bool:
    """Whether an item that is read after the limit is of none of the images; a piece is looked at later."""
    return isinstance(item, Note) or (isinstance(item, Refused) and item.reject.uri not in entries)


class _Account:
    """Counts by source. `open`: what was found and neither attached nor rejected so far."""

    def __init__(self) -> None:
        self.found: dict[str, Counter[ContentKind]] = defaultdict(Counter)
        self.attached: dict[str, Counter[ContentKind]] = defaultdict(Counter)
        self.rejected: dict[str, Counter[ContentKind]] = defaultdict(Counter)
        self.rejects: list[Reject] = []
        self._messages: dict[str, list[str]] = defaultdict(list)
        self.notes: dict[str, list[str]] = defaultdict(list)
        self._open: dict[tuple[str, ContentKind], int] = {}

    @property
    def is_settled(self) -> bool:
        return not self._open

    def find(self, source: str, counts: Mapping[ContentKind, int]) -> None:
        self.found[source].update(counts)
        self._add(source, counts, 1)

    def settle(
        self, tallies: dict[str, Counter[ContentKind]], source: str, counts: Mapping[ContentKind, int]
    ) -> None:
        tallies[source].update(counts)
        self._add(source, counts, -1)

    def reject(self, source: str, counts: Mapping[ContentKind, int], reject: Reject) -> None:
        self.settle(self.rejected, source, counts)
        self.rejects.append(reject)
        message = reject.message.removeprefix(f"{reject.uri}: ").removeprefix(f"{source}: ")
        self._messages[source].append(message if len(self._messages[source]) < MOST_REASONS else "")

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
        for (source, kind), count in list(self._open.items()):
            if count < 0:
                raise CorpusError(
                    f"{source}: its reader attached or rejected {-count} more {kind} than it found"
                )
            message = f"{source}: {count} {kind} were not read"
            self.reject(source, {kind: count}, listing_reject(source, "unaccounted", message))

    def sources(self) -> list[SourceCounts]:
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


def _reject(piece: Piece, contradiction: Contradiction) -> Reject:
    message = f"{piece.source}: {piece.entry.name}: {contradiction.message}; what was read first is kept"
    return listing_reject(piece.entry.name, "contradiction", message)
