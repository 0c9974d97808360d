"""Caption sidecars: a text file of an image's name beside it, as trainers of diffusion models read them.

The whole text is the caption of the image. A file with lines of numbers is none: labels of a form that is not
known if all lines are such, else neither labels nor a caption.
"""

import re
from collections.abc import Iterator

from fo1_data.corpus.listing import Found, Item, Piece, Refused
from fo1_data.corpus.places import listing_reject
from fo1_data.plurals import counted
from fo1_data.storage.addresses import parent
from fo1_data.storage.streams import read_whole
from schemas.corpus import CorpusImage
from schemas.sources import ContentKind

SUFFIX = ".caption"
MIXED_TEXT = "mixed_text"
_SEPARATORS = re.compile(r"[\s,;]+")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)


def items_of_caption(address: str, image: str) -> Iterator[Item] | None:
    """The image with the text of its sidecar; None if that is no caption. Raises CorpusError."""
    data = read_whole(address)
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return None
    if "\0" in text:
        return None
    lines = [line for line in text.split("\n") if line.strip()]
    num_numbers = sum(_is_of_numbers(line) for line in lines)
    if num_numbers == len(lines) > 0:
        return None
    return iter(_mixed(address, num_numbers, len(lines)) if num_numbers else _captioned(address, image, text))


def _captioned(address: str, image: str, text: str) -> list[Item]:
    source = parent(address)
    counts = {ContentKind.IMAGES: 1, ContentKind.SIDECARS: 1, ContentKind.CAPTIONS: int(bool(text))}
    return [Found(source, counts), Piece(source, CorpusImage(uri=image, caption=text or None), sidecars=1)]


def _mixed(address: str, num_numbers: int, num_lines: int) -> list[Item]:
    source, counts = parent(address), {ContentKind.SIDECARS: 1}
    of_lines = f"{num_numbers} of {counted(num_lines, 'line')}"
    message = f"{address}: {of_lines} hold numbers, as labels do, the others text: neither is read"
    return [Found(source, counts), Refused(source, counts, listing_reject(address, MIXED_TEXT, message))]


def _is_of_numbers(line: str) -> bool:
    """Whether a line is nothing but numbers, or has as many of them as a box."""
    fields = _SEPARATORS.split(line.strip())
    num_numbers = sum(_NUMBER.fullmatch(field) is not None for field in fields)
    return num_numbers >= min(4, len(fields))
