"""Addresses that must not be written, replaced by keyed hashes.

A hash of a path or a UID alone hides little: whoever guesses the path can check the guess. So the hashes are
made with a secret key (HMAC-SHA256), which stays on the machine that lists the corpus: in `dicom.key` under
FO1_HOME, made at the first use. The same key gives the same hashes, so a run is resumed and its rejects are
found again; another key gives others.

A corpus of which one file is hidden is hidden whole: a file beside it may have a name as telling.
"""

import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from fo1_data.corpus.entry_list import EntryList
from fo1_data.corpus.frame_names import is_frame
from fo1_data.corpus.listing import Listing
from fo1_data.errors import ConfigError
from fo1_data.storage.addresses import base_name
from schemas.corpus import HIDDEN, NOT_KEPT, CorpusImage
from schemas.images import Reject
from schemas.sources import SourceCounts

KEY_FILE = "dicom.key"
_DIGITS = 32
_KEY_BYTES = 32
# Shorter names are only looked for as whole texts.
_LEAST_NAME = 4


def keyed_hash(text: str) -> str:
    """A hash (hex) that nobody without the key can check a guess against. Raises ConfigError."""
    return hmac.new(_key(_key_place()), text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[
        :_DIGITS
    ]


def _key_place() -> Path:
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "fo1-data"
    return Path(os.environ.get("FO1_HOME") or data) / KEY_FILE


@lru_cache(maxsize=4)
def _key(path: Path) -> bytes:
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _make_key(path)
        key = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the key of hidden addresses cannot be kept at {path}: {error.strerror or error} "
            "(FO1_HOME names another folder)"
        ) from None
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"{path} is no key of hidden addresses: it must have {_KEY_BYTES} bytes")
    return key


def _make_key(path: Path) -> None:
    """Write a key that only its owner can read; of several processes the first one's stays."""
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
    try:
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink()


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


def hidden_address(address: str) -> str:
    """What stands for an address."""
    return f"{HIDDEN}{keyed_hash(address)}"


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
