"""A corpus without the addresses that must not be written: `hidden_addresses` stand for them.

A corpus of which one file is hidden is hidden whole: a file beside it may have a name as telling.
"""

from collections.abc import Sequence
from typing import Any

from fo1_data.corpus.entry_list import EntryList
from fo1_data.corpus.frame_names import is_frame
from fo1_data.corpus.hidden_addresses import hidden_address
from fo1_data.corpus.listing import Listing
from fo1_data.storage.addresses import base_name
from schemas.corpus import HIDDEN, NOT_KEPT, CorpusImage
from schemas.images import Reject
from schemas.sources import SourceCounts

# Shorter names are only looked for as whole texts.
_LEAST_NAME = 4


def hide_listing(listing: Listing) -> Listing:
    """The listing with addresses that say nothing; its entries still know where their images are.

    Words about a file that is not DICOM may quote its name, so only the reason of such a reject is kept.
    """
    entries = EntryList(hide_entry(entry) for entry in listing.entries)
    rejects, sources = hide_words(listing.rejects, listing.sources)
    return Listing(entries, rejects, sources, listing.has_dicom, is_hidden=True)


def hide_words(
    rejects: Sequence[Reject], sources: Sequence[SourceCounts]
) -> tuple[list[Reject], list[SourceCounts]]:
    """Rejects and accounts without addresses and words of files; hidden ones stay as they are."""
    own_words = {reject.message for reject in rejects if reject.uri.startswith(HIDDEN)}
    return (
        [_hide_reject(reject) for reject in rejects],
        [_hide_source(source, own_words) for source in sources],
    )


def hide_entry(entry: CorpusImage) -> CorpusImage:
    """The entry under an address that says nothing. A frame keeps its number."""
    origin = entry.origin
    if entry.inner is None or is_frame(entry.inner):
        address, inner = entry.uri, entry.inner
    else:
        address, inner = entry.name, None
    name = base_name(entry.inner if inner is None and entry.inner else entry.uri)
    telling = {name, name.rpartition(".")[0] or name}
    update = {
        "id": None if entry.id is None else _without_names(entry.id, telling),
        "meta": None if entry.meta is None else _without_names(entry.meta, telling),
    }
    return entry.model_copy(update=update).hidden_as(hidden_address(address), inner, origin)


def _without_names(value: Any, names: set[str]) -> Any:
    """What a corpus says of an image, without the texts that hold its file's name."""
    if isinstance(value, str):
        told = any(value == name or (len(name) >= _LEAST_NAME and name in value) for name in names)
        return NOT_KEPT if told else value
    if isinstance(value, dict):
        return {key: _without_names(item, names) for key, item in value.items()}
    return [_without_names(item, names) for item in value] if isinstance(value, list) else value


def _hide_reject(reject: Reject) -> Reject:
    if reject.uri.startswith(HIDDEN):
        return reject
    message = f"{reject.reason}: neither the address nor more words are kept (--keep-dicom-paths keeps them)"
    return reject.model_copy(update={"uri": hidden_address(reject.uri), "message": message, "source": None})


def _hide_source(source: SourceCounts, own_words: set[str]) -> SourceCounts:
    if source.source.startswith(HIDDEN):
        return source
    reasons = [text if text in own_words else "the reason is among the rejects" for text in source.reasons]
    return source.model_copy(
        update={"source": hidden_address(source.source), "reasons": reasons, "notes": []}
    )
