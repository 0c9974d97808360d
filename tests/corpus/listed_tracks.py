"""Listings of corpora with tracks, and what their accounts say."""

from pathlib import Path

from fo1_data.corpus.listing import Listing
from fo1_data.corpus.readers import load_listing
from schemas.corpus import CorpusImage
from schemas.sources import ContentKind


def tracked(corpus: Path) -> Listing:
    return load_listing(str(corpus), frame_every_s=None)


def only(listing: Listing) -> CorpusImage:
    (entry,) = listing.entries
    return entry


def reasons(listing: Listing) -> list[str]:
    return [reject.reason for reject in listing.rejects]


def found(listing: Listing, kind: ContentKind) -> tuple[int, int, int]:
    """Found, attached and rejected of all sources."""
    tallies = ("found", "attached", "rejected")
    total = [sum(getattr(source, name).get(kind, 0) for source in listing.sources) for name in tallies]
    return total[0], total[1], total[2]
