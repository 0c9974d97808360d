"""Plain files as a corpus: every file counts as an image until it is decoded."""

from collections.abc import Iterable, Iterator

from fo1_data.corpus.places import walk
from schemas.corpus import CorpusImage
from schemas.images import Reject


def read_folder(folder: str) -> Iterator[CorpusImage | Reject]:
    """Every file below `folder`, with any name; hidden folders are left out."""
    for item in walk(folder):
        yield item if isinstance(item, Reject) else CorpusImage(uri=item)


def read_files(addresses: Iterable[str]) -> Iterator[CorpusImage | Reject]:
    """Each address as an image."""
    return (CorpusImage(uri=address) for address in addresses)
