"""What the corpus of a run listed, kept in `.run/`, so that a later listing can be compared with it.

Holds the name of every entry and a short digest of its content. Only for messages: whether a listing is the
same is decided by its SHA-256 in the fingerprint.
"""

import gzip
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable

from fo1_data.dataset.layout import LISTING
from fo1_data.storage.store import Store
from schemas.corpus import Shard

# A larger listing is not kept: its record would be larger than many datasets.
MAX_ENTRIES = 1_000_000
_NUM_NAMED = 3
_DIGEST_DIGITS = 12


def record_listing(store: Store, shards: Iterable[Shard]) -> None:
    """Keep the listing of a run, unless one is kept already."""
    if store.exists(LISTING):
        return
    digests = listing_digests(shards)
    if len(digests) <= MAX_ENTRIES:
        content = json.dumps(digests, ensure_ascii=False).encode("utf-8", "surrogateescape")
        store.write_bytes(LISTING, gzip.compress(content, mtime=0))


def listing_digests(shards: Iterable[Shard]) -> dict[str, str]:
    """The name of each image to a digest of all its entries."""
    contents: dict[str, list[str]] = defaultdict(list)
    for shard in shards:
        for entry in shard.images:
            contents[entry.name].append(entry.model_dump_json())
    return {name: _digest(entries) for name, entries in contents.items()}


def describe_change(store: Store, shards: Iterable[Shard]) -> str:
    """The images that are added, gone and changed since the run in `store` was begun, in a few words."""
    try:
        before: dict[str, str] = json.loads(gzip.decompress(store.read_bytes(LISTING)))
    except (OSError, ValueError):
        return "changed"
    now = listing_digests(shards)
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


def _digest(entries: list[str]) -> str:
    return hashlib.sha256("\n".join(entries).encode()).hexdigest()[:_DIGEST_DIGITS]
