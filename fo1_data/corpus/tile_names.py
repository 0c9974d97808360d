"""A tile as an entry of its image: `inner` ends in the tile's pixels and the settings of the grid.

`tile@1024,512,1664,1152@640/128` is a tile of a grid of 640 px with an overlap of 128 px, and
`tile@whole@640/128` the whole image, shrunk, for what is too large for tiles. The name says all that reading
a tile takes. What `inner` names besides (a member of an archive, a frame) stands before it, divided by `::`.
"""

import re
from dataclasses import dataclass

from fo1_data.boxes import WindowXyxy
from schemas.corpus import CorpusImage

_INNER = re.compile(
    r"(?:(?P<inner>.*)::)?tile@(?:whole|(?P<window>\d+,\d+,\d+,\d+))@(?P<tile>\d+)/(?P<overlap>\d+)",
    re.DOTALL,
)


@dataclass(frozen=True)
class TileName:
    """A tile of a grid by its pixels in the upright image; None: the whole image, shrunk."""

    window_xyxy: WindowXyxy | None
    tile_px: int
    overlap_px: int

    def __str__(self) -> str:
        window = "whole" if self.window_xyxy is None else ",".join(map(str, self.window_xyxy))
        return f"tile@{window}@{self.tile_px}/{self.overlap_px}"

    def of(self, image: CorpusImage) -> CorpusImage:
        """The tile as an entry, with everything that the entry of its image says."""
        inner = str(self) if image.inner is None else f"{image.inner}::{self}"
        return image.model_copy(update={"inner": inner})


def tile_name(entry: CorpusImage) -> TileName | None:
    """The tile that an entry is; None if it is an image of its own."""
    match = _INNER.fullmatch(entry.inner or "")
    if match is None:
        return None
    numbers = tuple(map(int, match["window"].split(","))) if match["window"] else None
    window: WindowXyxy | None = numbers  # type: ignore[assignment]
    return TileName(window, int(match["tile"]), int(match["overlap"]))


def image_of_tile(entry: CorpusImage) -> CorpusImage:
    """The entry of a tile without its tile; other entries unchanged."""
    match = _INNER.fullmatch(entry.inner or "")
    return entry if match is None else entry.model_copy(update={"inner": match["inner"]})
