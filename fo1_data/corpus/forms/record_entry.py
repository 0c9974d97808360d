"""An entry from the fields of a record: what is bad in its lists is refused, and the rest of it is kept."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from fo1_data.corpus.listing import Refused
from fo1_data.corpus.places import listing_reject
from schemas.corpus import CorpusImage
from schemas.sources import ContentKind

# The lists of a record of which one item can be left out; examples are not counted.
_KINDS = {
    "phrases": {ContentKind.PHRASES: 1},
    "counts": {ContentKind.COUNTS: 1},
    "answers": {ContentKind.ANSWERS: 1},
    "examples": {},
}


def entry_of_fields(fields: dict[str, Any], source: str, where: str) -> tuple[CorpusImage, list[Refused]]:
    """The entry, and the phrases, counts, answers and examples that cannot be read.

    Raises ValidationError if something else of the record cannot be read.
    """
    try:
        return CorpusImage(**fields), []
    except ValidationError as error:
        bad = dict(_bad_parts(error))
        if not bad:
            raise
    kept = {
        name: [part for number, part in enumerate(fields[name]) if (name, number) not in bad]
        for name in {name for name, number in bad if number is not None}
    }
    kept |= {name: [] for name, number in bad if number is None}
    entry = CorpusImage(**fields | kept)
    refused = [
        Refused(
            source,
            _KINDS[name] if number is not None else {},
            listing_reject(entry.name, "bad_part", f"{where}: {fault}"),
        )
        for (name, number), fault in bad.items()
    ]
    return entry, refused


def _bad_parts(error: ValidationError) -> Iterator[tuple[tuple[str, int | None], str]]:
    """The list and place of each item that is bad, with its last fault; nothing if more is bad than items.

    The place is None where the field is no list.
    """
    faults = error.errors(include_url=False)
    if any(fault["loc"][0] not in _KINDS for fault in faults):
        return
    for fault in faults:
        name, *rest = fault["loc"]
        number = rest[0] if rest and isinstance(rest[0], int) else None
        text = f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
        yield (str(name), number), " ".join(text.split())
