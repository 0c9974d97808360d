"""The tiles of an image: where they lie, and which of them owns a box.

Tiles of one size cover the image in rows and columns, spread evenly, so that neighbours overlap by
`overlap_px` or more. The midlines of the overlaps cut the image into cores, one a tile, and a box belongs to
the tile whose core holds its centre. Of two neighbours that is the one in which the box lies deepest, and a
box that is no longer than the overlap lies whole in its owner. Boxes: (N, 4) float32, pixels of the upright
image. Places of tiles: (column, row). Reads nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fo1_data.boxes import Bools, Boxes, WindowXyxy

Place = tuple[int, int]
Places = npt.NDArray[np.int64]
Distances = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TileGrid:
    """The tiles of an image of `image_wh` pixels. A side that is shorter than `tile_px` has one tile.

    Raises ValueError unless 0 <= overlap_px < tile_px.
    """

    image_wh: tuple[int, int]
    tile_px: int
    overlap_px: int

    def __post_init__(self) -> None:
        if not 0 <= self.overlap_px < self.tile_px:
            raise ValueError(f"an overlap of {self.overlap_px} px does not fit tiles of {self.tile_px} px")

    @cached_property
    def starts(self) -> tuple[Places, Places]:
        """The first pixel of each column, and of each row."""
        across, down = (_starts(side, self.tile_px, self.overlap_px) for side in self.image_wh)
        return across, down

    @cached_property
    def midlines(self) -> tuple[Distances, Distances]:
        """The middle of each overlap, across and down: the inner borders of the cores."""
        across, down = ((starts[1:] + starts[:-1] + self.tile_px) / 2 for starts in self.starts)
        return across, down

    @property
    def columns(self) -> int:
        return len(self.starts[0])

    @property
    def rows(self) -> int:
        return len(self.starts[1])

    @property
    def is_single(self) -> bool:
        """Whether one tile is the whole image."""
        return self.columns == self.rows == 1

    def places(self) -> Iterator[Place]:
        """All tiles, row by row."""
        return ((column, row) for row in range(self.rows) for column in range(self.columns))

    def window(self, place: Place) -> WindowXyxy:
        """The pixels of a tile: x_min, y_min, x_max, y_max."""
        low = [int(starts[at]) for starts, at in zip(self.starts, place, strict=True)]
        high = [min(side, start + self.tile_px) for side, start in zip(self.image_wh, low, strict=True)]
        return low[0], low[1], high[0], high[1]

    def place_of(self, window_xyxy: WindowXyxy) -> Place | None:
        """The tile of these pixels; None if no tile has them."""
        column, row = (
            int(np.searchsorted(starts, low))
            for starts, low in zip(self.starts, window_xyxy[:2], strict=True)
        )
        is_inside = column < self.columns and row < self.rows
        return (column, row) if is_inside and self.window((column, row)) == window_xyxy else None

    def owners(self, boxes_xyxy: Boxes) -> Places:
        """(N, 2) the place of the tile that owns each box."""
        centres = (boxes_xyxy[:, :2].astype(np.float64) + boxes_xyxy[:, 2:]) / 2
        owners = [
            np.searchsorted(lines, centres[:, axis], "right") for axis, lines in enumerate(self.midlines)
        ]
        return np.stack(owners, axis=1)

    def is_near_core(self, boxes_xyxy: Boxes, place: Place, band_px: float) -> Bools:
        """(N,) whether the centre of each box is in the core of a tile, or within `band_px` of it."""
        centres = (boxes_xyxy[:, :2].astype(np.float64) + boxes_xyxy[:, 2:]) / 2
        is_near = np.ones(len(boxes_xyxy), np.bool_)
        for axis, lines in enumerate(self.midlines):
            bounds = np.concatenate([[-np.inf], lines, [np.inf]])
            low, high = bounds[place[axis]] - band_px, bounds[place[axis] + 1] + band_px
            is_near &= (centres[:, axis] >= low) & (centres[:, axis] < high)
        return is_near

    def depths(self, boxes_xyxy: Boxes, places: Places) -> Distances:
        """(N, 4) how far each side of a box lies from that side of its tile; infinite at the image's border.

        places: (N, 2), the tile that each box is seen in. Negative where a box reaches beyond its tile.
        """
        depths = np.full((len(boxes_xyxy), 4), np.inf)
        for axis, starts in enumerate(self.starts):
            at = places[:, axis]
            inner = at > 0
            depths[inner, axis] = (boxes_xyxy[:, axis] - starts[at])[inner]
            inner = at < len(starts) - 1
            depths[inner, 2 + axis] = (starts[at] + self.tile_px - boxes_xyxy[:, 2 + axis])[inner]
        return depths


def _starts(side_px: int, tile_px: int, overlap_px: int) -> Places:
    """Where the tiles of one side begin: as few as overlap by `overlap_px`, spread evenly."""
    if side_px <= tile_px:
        return np.zeros(1, np.int64)
    num_tiles = -(-(side_px - overlap_px) // (tile_px - overlap_px))
    steps = np.arange(num_tiles, dtype=np.int64)
    return steps * (side_px - tile_px) // (num_tiles - 1)
