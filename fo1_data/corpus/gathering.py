"""Puts the items of a corpus' readers together: one entry for each image, and an account of every source."""

from collections.abc import Container, Iterable

from fo1_data.corpus.account import Account
from fo1_data.corpus.listing import (
    Found,
    Item,
    LateNote,
    Listing,
    Note,
    Piece,
    PlainImage,
    Refused,
    WantedImages,
    contents_of,
)
from fo1_data.corpus.listing_progress import ListingProgress
from fo1_data.corpus.pieces import Pieces
from fo1_data.corpus.places import listing_reject
from schemas.sources import ContentKind


def gather(
    items: Iterable[Item],
    limit: int | None = None,
    progress: ListingProgress | None = None,
    wanted: WantedImages | None = None,
) -> Listing:
    """Unite the pieces of each image, in the order of the first piece, and account for every source.

    Contents of a later piece that contradict an earlier one are rejects. `limit`: at most so many images,
    with all that is said of them; the account leaves out what is read of other images after that, and
    reading stops at the record that reaches the limit if nothing more can be said of them; `wanted` then
    holds their names. Memory besides that of the entries: 8 bytes for each piece, what is said of images that
    occur several times, and with a limit the names.
    """
    gathering = _Gathering(limit, progress or ListingProgress())
    for item in items:
        if not gathering.take(item) or limit is None:
            continue
        if gathering.has_all():
            break
        if wanted is not None and gathering.is_full:
            wanted.names = gathering.names
    return gathering.finish()


class _Gathering:
    """What is gathered so far.

    `names`: of the images, only kept with a limit. `is_full`: the limit is reached, and whatever was found of
    its images is attached or rejected; what is read of others is left out from then on.
    """

    def __init__(self, limit: int | None, progress: ListingProgress) -> None:
        self._limit, self._progress = limit, progress
        self._account, self._pieces = Account(), Pieces()
        self.names: set[str] | None = None if limit is None else set()
        self.is_full = self._may_repeat = False

    def take(self, item: Item) -> bool:
        """Take an item in; False if it is an image that is left out."""
        if isinstance(item, PlainImage):
            return self._take_plain(item)
        if isinstance(item, Piece):
            return self._take_piece(item)
        account = self._account
        if isinstance(item, LateNote):
            account.late_notes.append(item)
        elif isinstance(item, Found):
            account.find(item.source, item.counts)
        elif self.is_full and _is_beyond(item, self.names or ()):
            if isinstance(item, Refused):
                account.forget(item.source, item.counts)
        elif isinstance(item, Refused):
            account.reject(len(self._pieces), item.source, item.counts, item.reject)
        else:
            account.note(item.source, item.message)
        return True

    def has_all(self) -> bool:
        """Whether no more items are needed: the limit is reached and no later one can be of its images."""
        is_reached = len(self.names or ()) >= (self._limit or 0)
        self.is_full = self.is_full or (is_reached and self._account.is_settled)
        return self.is_full and not self._may_repeat

    def finish(self) -> Listing:
        """The images and the account, once no more items come."""
        entries, contradictions = self._pieces.unite()
        for number, name, contradiction in contradictions:
            self._account.contradict(number, self._pieces.source_of(number), name, contradiction)
        self._account.close()
        return Listing(entries, self._account.rejects, self._account.sources())

    def _take_plain(self, item: PlainImage) -> bool:
        if self.names is not None and item.uri not in self.names:
            if self.is_full:
                self._account.forget_plain(item.source)
                return False
            self.names.add(item.uri)
        self._pieces.add_address(item.source, item.uri)
        self._account.attach_plain(item.source)
        self._show_progress()
        return True

    def _take_piece(self, item: Piece) -> bool:
        contents = contents_of(item.entry)
        contents[ContentKind.SIDECARS] = item.sidecars
        name = item.entry.name
        if self.names is not None and name not in self.names:
            if len(self.names) >= (self._limit or 0):
                self._account.forget(item.source, contents)
                return False
            says_more = contents.total() > 1 and item.entry.inner is None
            self._may_repeat = self._may_repeat or (item.may_repeat and says_more)
        try:
            self._pieces.add(item.source, item.entry)
        except ValueError:
            message = f"{item.source}: what is said of {name!a} is not UTF-8 text"
            reject = listing_reject(item.source, "bad_text", message)
            self._account.reject(len(self._pieces), item.source, contents, reject)
            return False
        if self.names is not None:
            self.names.add(name)
        self._show_progress()
        self._account.attach(item.source, contents)
        return True

    def _show_progress(self) -> None:
        self._progress.images = len(self._pieces) if self.names is None else len(self.names)


def _is_beyond(item: Refused | Note, names: Container[str]) -> bool:
    """Whether an item that is read after the limit is of none of the images."""
    return isinstance(item, Note) or item.reject.uri not in names
