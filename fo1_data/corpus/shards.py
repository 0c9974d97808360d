"""Shards: a corpus cut into units of work, always the same for the same listing.

A shard's id is made of its entries and not of its place, so that work done stays known when a
corpus grows at its end. Does not look at images.
"""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import islice

from schemas.corpus import CorpusImage, Shard


def plan_shards(entries: Iterable[CorpusImage], shard_size: int) -> list[Shard]:
    """Entries in their order, `shard_size` to a shard (the last may have fewer)."""
    if shard_size < 1:
        raise ValueError(f"shard_size must be at least 1, not {shard_size}")
    shards: list[Shard] = []
    waiting = iter(entries)
    seen: dict[str, int] = {}
    while images := list(islice(waiting, shard_size)):
        shard_id = shard_id_of(images)
        # The same entries listed again make another shard: its id says which time it is.
        times = seen[shard_id] = seen.get(shard_id, 0) + 1
        if times > 1:
            shard_id = _digest([shard_id.encode(), str(times).encode()])[: len(shard_id)]
        shards.append(Shard(shard_id=shard_id, index=len(shards), images=images))
    return shards


def shard_id_of(images: Sequence[CorpusImage]) -> str:
    """16 hex digits that tell a list of entries, all that the corpus says of them included."""
    return _digest(entry.model_dump_json().encode() for entry in images)[:16]


def listing_sha256(shards: Iterable[Shard]) -> str:
    """SHA-256 (hex) over all entries in order, whatever the size of the shards they were cut into."""
    return _digest(entry.model_dump_json().encode() for shard in shards for entry in shard.images)


def _digest(parts: Iterable[bytes]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big"))
        whole.update(part)
    return whole.hexdigest()
