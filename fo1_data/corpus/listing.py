"""A corpus as its forms read it: pieces of what a source says of an image, put together by image.

Every reader of a form yields items: how much a source holds (`Found`), what it says of one image (`Piece`),
what of it cannot be attached to an image, with the reason (`Refused`), and what the reader had to decide
(`Note`, `LateNote`). `gathering` unites the pieces of one image and counts, so that of every source and kind
of content found = attached + rejected.

Rules for a reader: `source` is the address of the listing file, archive, or folder (of label files beside
their images: of the folder, not of each file). `Found` is counted in what the source holds, never in what was
made of it. The `Found` of a record comes just before its `Piece` or `Refused`, so that a limit can end the
reading after any record. Two pieces may be of the same image. A `Piece` whose entry has boxes, phrases or
texts that no `Found` announced is a bug of the reader; content that was announced and came in no piece
becomes a reject `unaccounted`.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fo1_data.corpus.dicom.files import may_be_dicom
from fo1_data.corpus.entry_list import EntryList
from fo1_data.corpus.united import captions_of
from fo1_data.corpus.video.listing import is_video
from schemas.corpus import CorpusImage
from schemas.images import Reject
from schemas.sources import ContentKind, SourceCounts


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


@dataclass(frozen=True)
class LateNote:
    """A note of what a reader meets while it reads, announced before its first image: a limit may end it.

    `messages`: gives its lines once reading has ended.
    """

    source: str
    messages: Callable[[], Iterable[str]]


class PlainImage(NamedTuple):
    """A source names one image and says nothing more: a `Found` and a `Piece`, in a fiftieth of the time."""

    source: str
    uri: str


Item = Found | Piece | PlainImage | Refused | Note | LateNote


@dataclass
class WantedImages:
    """The images of which a source may still say something: all, or once a limit is reached those listed.

    A reader may leave out records that are of none of them.
    """

    names: Container[str] | None = None

    def exclude(self, uri: str) -> bool:
        """Whether nothing is wanted of the image at an address any more; of some files, frames are listed."""
        if self.names is None or uri in self.names:
            return False
        return not is_video(uri) and not may_be_dicom(uri)


@dataclass(frozen=True)
class Listing:
    """The images of a corpus in order, what could not be listed, and the account of every source.

    has_dicom: whether DICOM files were found. has_videos: whether any entry is a whole video. is_hidden:
    whether addresses are replaced by others that say nothing; see `hiding`.
    """

    entries: Sequence[CorpusImage] = field(default_factory=EntryList)
    rejects: list[Reject] = field(default_factory=list)
    sources: list[SourceCounts] = field(default_factory=list)
    has_dicom: bool = False
    has_videos: bool = False
    is_hidden: bool = False


def contents_of(entry: CorpusImage) -> Counter[ContentKind]:
    """How much of each kind an entry holds, sidecars left out. A region's caption and text count each."""
    regions = entry.regions or []
    captions = [text for region in regions for text in (region.caption, region.detailed_caption) if text]
    tracks = entry.tracks or []
    return Counter(
        {
            ContentKind.IMAGES: 1,
            ContentKind.BOXES: len(regions) + sum(len(track.frames) for track in tracks),
            ContentKind.CAPTIONS: len(captions)
            + len(captions_of(entry))
            + sum(track.caption is not None for track in tracks),
            ContentKind.PHRASES: len(entry.phrases) + len(entry.caption_phrases),
            ContentKind.TEXTS: sum(region.text is not None for region in regions),
            ContentKind.COUNTS: len(entry.counts),
            ContentKind.ANSWERS: len(entry.answers),
            ContentKind.TRACKS: len(tracks),
        }
    )
