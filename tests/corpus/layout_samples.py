"""Listings of small folders of 120 x 80 images, with every count checked."""

import io
from pathlib import Path

from PIL import Image

from fo1_data.corpus.listing import Listing, contents_of
from fo1_data.corpus.readers import load_listing
from schemas.corpus import CorpusImage
from schemas.sources import ContentKind

WIDTH, HEIGHT = 120, 80


def png(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return buffer.getvalue()


def write(folder: Path, *names: str, text: str | None = None) -> None:
    """Write images, or text files if there is a `text`."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.write_bytes(png())
        else:
            path.write_text(text)


def listing_of(corpus: Path) -> Listing:
    """The listing of a corpus. That found is attached plus rejected holds by construction of `sources`."""
    listing = load_listing(str(corpus))
    num_boxes = sum(source.attached.get(ContentKind.BOXES, 0) for source in listing.sources)
    assert num_boxes >= sum(contents_of(entry)[ContentKind.BOXES] for entry in listing.entries)
    assert not [reject for reject in listing.rejects if reject.reason == "unaccounted"]
    return listing


def boxes(entry: CorpusImage) -> list[tuple[float, ...]] | None:
    """The boxes in pixels, to a hundredth."""
    scale = (WIDTH, HEIGHT) if entry.box_unit == "share" else (1, 1)
    return entry.regions and [
        tuple(round(value * scale[side % 2], 2) for side, value in enumerate(region.box_xyxy))
        for region in entry.regions
    ]
