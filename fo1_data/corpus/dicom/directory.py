"""A DICOMDIR as a corpus: the files of images that it names, in its order."""

from collections.abc import Iterator
from typing import Any

from fo1_data.corpus.dicom.files import load_pydicom, open_dicom, read_header, refused, without_quotes
from fo1_data.corpus.hidden_addresses import hidden_address
from fo1_data.corpus.listing import Found, Item, PlainImage, Refused
from fo1_data.corpus.places import kind_of, listing_reject
from fo1_data.errors import ConfigError, CorpusError, InputReject
from fo1_data.storage.addresses import join, parent
from schemas.corpus import Origin
from schemas.sources import ContentKind


def read_directory(address: str, max_bytes: int) -> Iterator[Item]:
    """The images that a DICOMDIR names; a reject for each that is not there.

    Raises CorpusError if the file cannot be read.
    """
    try:
        load_pydicom()
        with open_dicom(Origin(address), max_bytes) as file:
            header = read_header(file)
        with without_quotes("DICOMDIR"):
            paths = [_path(record) for record in header.get("DirectoryRecordSequence") or []]
    except ConfigError as error:
        raise CorpusError(str(error)) from None
    except InputReject as error:
        raise CorpusError(f"the DICOMDIR cannot be read: {error.message}") from None
    folder = parent(address)
    for parts in dict.fromkeys(path for path in paths if path):
        found = _find(folder, parts)
        if found is not None:
            yield PlainImage(address, found)
            continue
        yield Found(address, {ContentKind.IMAGES: 1})
        place = hidden_address(join(folder, "/".join(parts)))
        message = "a file that the DICOMDIR names is not there"
        yield Refused(address, {ContentKind.IMAGES: 1}, listing_reject(place, "not_found", message))


def _path(record: Any) -> tuple[str, ...]:
    """The folders and the file that a record names; nothing if it names none.

    Raises InputReject if the file lies outside of the folder.
    """
    named = record.get("ReferencedFileID")
    if not named:
        return ()
    parts = tuple(str(part) for part in ([named] if isinstance(named, str) else named))
    if any(part in ("", ".", "..") or "/" in part or "\\" in part for part in parts):
        raise refused("broken", "the DICOMDIR names a file outside of its folder")
    return parts


def _find(folder: str, parts: tuple[str, ...]) -> str | None:
    """The file as it is named, or in lower case, as some systems copy it from a disc."""
    for names in (parts, tuple(part.lower() for part in parts)):
        address = join(folder, "/".join(names))
        if kind_of(address) == "file":
            return address
    return None
