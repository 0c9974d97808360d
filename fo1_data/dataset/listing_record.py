"""What the corpus of a run listed, kept in `.run/`, so that a later listing can be compared with it.

Holds the name of every entry and a short digest of its content. Only for messages: whether a listing is the
same is decided by its SHA-256 in the fingerprint.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator

from fo1_data.corpus.entry_list import EntryList, record_to_entry, record_to_json
from fo1_data.dataset.layout import LISTING
from fo1_data.storage.store import Store

# A larger listing is not kept: its record would be larger than many datasets.
MAX_ENTRIES = 1_000_000
_NUM_NAMED = 3
_DIGEST_DIGITS = 12


def record_listing(store: Store, entries: EntryList) -> None:
    """Keep the listing of a run, unless one is kept already."""
    if len(entries) > MAX_ENTRIES or store.exists(LISTING):
        return
    store.write_bytes(LISTING, gzip.compress(b"".join(_as_json(entries)), mtime=0))


def _as_json(entries: EntryList) -> Iterator[bytes]:
    """The object of names and digests, member by member."""
    separator = "{"
    for name, digest in _digests(entries):
        text = f"{separator}{json.dumps(name, ensure_ascii=False)}: {json.dumps(digest)}"
        yield text.encode("utf-8", "surrogateescape")
        separator = ", "
    yield b"{}" if separator == "{" else b"}"


def _digests(entries: EntryList) -> Iterator[tuple[str, str]]:
    """The name of each image, which a listing has once, and a digest of its entry."""
    for record in entries.records():
        document = record_to_json(record)
        name = record_to_entry(record).name if record[:1] == b"{" else record.decode()
        yield name, hashlib.sha256(document).hexdigest()[:_DIGEST_DIGITS]


def describe_change(store: Store, entries: EntryList) -> str:
    """The images that are added, gone and changed since the run in `store` was begun, in a few words.

    "changed" if what it listed is not kept, or damaged.
    """
    try:
        before: dict[str, str] = json.loads(gzip.decompress(store.read_bytes(LISTING)))
    except (OSError, EOFError, zlib.error, ValueError):
        return "changed"
    now = dict(_digests(entries))
    parts = [
        _count(now.keys() - before.keys(), "added"),
        _count(before.keys() - now.keys(), "gone"),
        _count({name for name in now.keys() & before.keys() if now[name] != before[name]}, "changed"),
    ]
    return ", ".join(part for part in parts if part) or "the same images in another order"


def _count(names: Iterable[str], change: str) -> str:
    ordered = sorted(names)
    if not ordered:
        return ""
    shown = [name.rpartition("/")[2] or name for name in ordered[:_NUM_NAMED]]
    more = ", ..." if len(ordered) > _NUM_NAMED else ""
    return f"{len(ordered)} image{'s' if len(ordered) > 1 else ''} {change} ({', '.join(shown)}{more})"
