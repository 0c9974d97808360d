"""Shards: a corpus divided into units of work, always the same for the same listing.

A shard's id depends on its entries and not on its position, so that finished work stays valid when a corpus
grows at its end. Does not open images.
"""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import islice

from schemas.corpus import CorpusImage, Shard


def plan_shards(entries: Iterable[CorpusImage], shard_size: int) -> list[Shard]:
    """Divide entries, in their order, into shards of `shard_size` (the last may have fewer)."""
    if shard_size < 1:
        raise ValueError(f"shard_size must be at least 1, not {shard_size}")
    shards: list[Shard] = []
    remaining = iter(entries)
    seen: dict[str, int] = {}
    while images := list(islice(remaining, shard_size)):
        shard_id = shard_id_of(images)
        # The same entries listed again are another shard: its id includes how often they occurred.
        times = seen[shard_id] = seen.get(shard_id, 0) + 1
        if times > 1:
            shard_id = _digest([shard_id.encode(), str(times).encode()])[: len(shard_id)]
        shards.append(Shard(shard_id=shard_id, index=len(shards), images=images))
    return shards


def shard_id_of(images: Sequence[CorpusImage]) -> str:
    """16 hex digits that identify a list of entries with all their labels in the corpus."""
    return _digest(entry.model_dump_json().encode() for entry in images)[:16]


def listing_sha256(shards: Iterable[Shard]) -> str:
    """SHA-256 (hex) of all entries in order, independent of the shard size."""
    return _digest(entry.model_dump_json().encode() for shard in shards for entry in shard.images)


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
