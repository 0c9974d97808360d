"""Plain files as a corpus: every file counts as an image until it is decoded."""

from collections.abc import Iterable, Iterator

from fo1_data.corpus.listing import Item, PlainImage, Refused
from fo1_data.corpus.places import walk
from fo1_data.storage.addresses import parent
from schemas.images import Reject
from schemas.sources import ContentKind

ONE_IMAGE = {ContentKind.IMAGES: 1}


def read_folder(folder: str) -> Iterator[Item]:
    """Every file below `folder`, with any name; hidden folders are left out."""
    for item in walk(folder):
        if isinstance(item, Reject):
            yield Refused(folder, {}, item)
        else:
            yield plain_image(folder, item)


def read_files(addresses: Iterable[str]) -> Iterator[Item]:
    """Each address as an image."""
    for address in addresses:
        yield plain_image(parent(address), address)


def plain_image(source: str, address: str) -> PlainImage:
    """An image of which the corpus says nothing. Raises ValueError if its address is not UTF-8 text."""
    try:
        address.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the address {address!a} is not UTF-8 text") from None
    return PlainImage(source, address)
