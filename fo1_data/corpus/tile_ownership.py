"""Which boxes that were found in a tile stay: those that the tile owns, and what its edge may have cut off.

A tile also keeps boxes in a narrow band around its core, because two tiles may find the same thing at
slightly different places, each on the other's side; uniting the tiles drops the second one. A box at an inner
edge may be a part of a longer thing. If it is clearly shorter than the overlap, its owner holds the thing
whole, so the part goes; longer ones stay until the tiles are united. The whole image keeps only boxes that
are longer than the overlap: tiles show all others better. Boxes: (N, 4) float32, pixels of the upright image.
"""

import numpy as np
import numpy.typing as npt

from fo1_data.boxes import Bools, Boxes
from fo1_data.corpus.tile_grid import Place, Places, TileGrid

# A side this close to an inner edge of its tile lies on it.
EDGE_PX = 4.0
_BAND_SHARE = 1 / 8


def stays_in_tile(grid: TileGrid, place: Place | None, boxes_xyxy: Boxes) -> Bools:
    """(N,) which boxes of a tile stay; `place` None: of the whole image."""
    lengths = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    if place is None:
        is_long: Bools = lengths.max(axis=1, initial=0) > grid.overlap_px
        return is_long
    cut = cut_sides(grid, boxes_xyxy, np.broadcast_to(place, (len(boxes_xyxy), 2)))
    is_part = (cut[:, :2] | cut[:, 2:]) & (lengths <= grid.overlap_px - 2 * EDGE_PX)
    is_near = grid.is_near_core(boxes_xyxy, place, _BAND_SHARE * grid.overlap_px)
    stays: Bools = is_near & ~is_part.any(axis=1)
    return stays


def cut_sides(grid: TileGrid, boxes_xyxy: Boxes, places: Places) -> npt.NDArray[np.bool_]:
    """(N, 4) which sides of each box lie on an inner edge of its tile. places: (N, 2)."""
    cut: npt.NDArray[np.bool_] = grid.depths(boxes_xyxy, places) <= EDGE_PX
    return cut
