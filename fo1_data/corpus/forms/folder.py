"""Plain files as a corpus: every file counts as an image until it is decoded."""

from collections.abc import Iterable, Iterator

from fo1_data.corpus.listing import Found, Item, Piece, Refused
from fo1_data.corpus.places import walk
from fo1_data.storage.addresses import parent
from schemas.corpus import CorpusImage
from schemas.images import Reject
from schemas.sources import ContentKind

ONE_IMAGE = {ContentKind.IMAGES: 1}


def read_folder(folder: str) -> Iterator[Item]:
    """Every file below `folder`, with any name; hidden folders are left out."""
    for item in walk(folder):
        if isinstance(item, Reject):
            yield Refused(folder, {}, item)
        else:
            yield from plain_image(folder, item)


def read_files(addresses: Iterable[str]) -> Iterator[Item]:
    """Each address as an image."""
    for address in addresses:
        yield from plain_image(parent(address), address)


def plain_image(source: str, address: str) -> Iterator[Item]:
    """An image of which the corpus says nothing."""
    yield Found(source, ONE_IMAGE)
    yield Piece(source, CorpusImage(uri=address))
