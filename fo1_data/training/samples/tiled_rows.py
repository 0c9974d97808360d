"""Rows of large images as the images that a training step can see: their tiles, cut as they were labelled.

A row whose `meta` records tiles gives a row for each tile that owns a box and holds it whole, and one of the
whole image, shrunk, for the boxes that no tile holds. A phrase names the regions of the tile, and is left out
of a tile if all regions that it names are elsewhere; so is everything that was said of the whole image.
Boxes: pixels of the upright image, in a tile's row those of the tile.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fo1_data.boxes import Boxes, WindowXyxy, as_boxes
from fo1_data.corpus.images import DecodedImage, InputLimits
from fo1_data.corpus.tile_grid import TileGrid
from fo1_data.dataset.row_windows import open_row
from fo1_data.dataset.united_tiles import TILES_KEY
from schemas.images import Count, Grounding, ImageRow
from schemas.labels import LabelKind
from schemas.regions import Box

Part = TypeVar("Part", Grounding, Count)

# Smaller images are shown whole, whatever they were labelled in.
LEAST_PX = 1024
WHOLE_PX = 2048
_BOXES = "regions.list.element.box_xyxy.list.element"

# A row by its position in its group, and the part of its image; None: all of it.
RowPart = tuple[int, WindowXyxy | None]


def grid_of(meta: str | None, image_wh: tuple[int, int]) -> TileGrid | None:
    """The tiles that an image was labelled in; None if it was labelled whole or is small enough to show."""
    if meta is None or max(image_wh) <= LEAST_PX or TILES_KEY not in meta:
        return None
    tiles = json.loads(meta).get(TILES_KEY)
    if not isinstance(tiles, dict) or not {"tile_px", "overlap_px"} <= tiles.keys():
        return None
    grid = TileGrid(image_wh, tiles["tile_px"], tiles["overlap_px"])
    return None if grid.is_single else grid


def windows_of(grid: TileGrid, boxes_xyxy: Boxes) -> list[WindowXyxy]:
    """The windows to train on, in order: tiles with boxes of their own, then the whole image if any."""
    shown, whole = set(_windows_of_boxes(grid, boxes_xyxy)), _whole(grid)
    return [*sorted(shown - {whole}), *({whole} & shown)]


def cut_row(row: ImageRow, grid: TileGrid, window_xyxy: WindowXyxy) -> ImageRow:
    """The row of a window: its own boxes, and what is said of them."""
    boxes = as_boxes(np.array([region.box_xyxy for region in row.regions], np.float32))
    owned = [window == window_xyxy for window in _windows_of_boxes(grid, boxes)]
    corner = window_xyxy[:2]
    regions = [
        region.model_copy(update={"box_xyxy": _moved(region.box_xyxy, corner)})
        for region, is_owned in zip(row.regions, owned, strict=True)
        if is_owned
    ]
    ids = {region.region_id for region in regions}
    named = (_of_window(part, ids) for part in row.groundings if part.kind is not LabelKind.GROUNDED_CAPTION)
    counted = (_of_window(part, ids) for part in row.counts if len(part.region_ids) == part.count)
    return row.model_copy(
        update={
            "width": window_xyxy[2] - window_xyxy[0],
            "height": window_xyxy[3] - window_xyxy[1],
            "orientation": 1,
            "regions": regions,
            "groundings": [part for part in named if part is not None],
            "counts": [
                part.model_copy(update={"count": len(part.region_ids)})
                for part in counted
                if part is not None
            ],
            "answers": [answer for answer in row.answers if answer.region_id in ids],
            "caption": None,
            "caption_label": None,
        }
    )


def read_window(row: ImageRow, window_xyxy: WindowXyxy, limits: InputLimits) -> DecodedImage:
    """The pixels of a window of a row's image, with an id of their own; a large one is shrunk to WHOLE_PX.

    Raises InputReject if they cannot be read or the file is not the one that was labelled.
    """
    with open_row(row, limits) as windows:
        rgb = windows.read(window_xyxy, WHOLE_PX).rgb
    return DecodedImage(window_id(row.image_id, window_xyxy), rgb, rgb.width, rgb.height, 1, rgb.size)


@lru_cache(maxsize=4096)
def window_id(image_id: str, window_xyxy: WindowXyxy) -> str:
    """An id of a window's pixels, 64 hex digits."""
    return hashlib.sha256(f"{image_id} {window_xyxy}".encode()).hexdigest()


def _windows_of_boxes(grid: TileGrid, boxes_xyxy: Boxes) -> Sequence[WindowXyxy]:
    """The window that shows each box: the tile that owns it, or the whole image if that tile cuts it."""
    owners = grid.owners(boxes_xyxy)
    least_depths = grid.depths(boxes_xyxy, owners).min(axis=1)
    return [
        grid.window((column, row)) if depth >= 0 else _whole(grid)
        for (column, row), depth in zip(owners.tolist(), least_depths, strict=True)
    ]


def _whole(grid: TileGrid) -> WindowXyxy:
    return (0, 0, *grid.image_wh)


def _moved(box_xyxy: Box, corner: tuple[int, int]) -> Box:
    x, y = corner
    return (box_xyxy[0] - x, box_xyxy[1] - y, box_xyxy[2] - x, box_xyxy[3] - y)


def _of_window(part: Part, ids: set[str]) -> Part | None:
    """A phrase with its regions in the window; None if it names regions elsewhere only."""
    here = [region_id for region_id in part.region_ids if region_id in ids]
    return part.model_copy(update={"region_ids": here}) if here or not part.region_ids else None


def parts_of_group(parquet: pq.ParquetFile, number: int) -> list[RowPart] | None:
    """The examples of a row group, in order: rows, and the windows of rows that were labelled in tiles.

    None if every row is an example of its own. Reads rows only if the file's statistics tell of large images.
    """
    if _longest_px(parquet.metadata.row_group(number)) <= LEAST_PX:
        return None
    table = parquet.read_row_group(number, columns=["meta", "width", "height", _BOXES])
    described = table.select(["meta", "width", "height"]).to_pylist()
    grids = [grid_of(row["meta"], (row["width"], row["height"])) for row in described]
    if not any(grids):
        return None
    boxes = table.column("regions").combine_chunks()
    parts: list[RowPart] = []
    for row, grid in enumerate(grids):
        if grid is None:
            parts.append((row, None))
        else:
            parts += [(row, window) for window in windows_of(grid, _boxes_of(boxes, row))]
    return parts


def _longest_px(row_group: pq.RowGroupMetaData) -> float:
    """The longest side of an image of a row group, by its statistics; infinite if it has none."""
    longest = 0.0
    for place in range(row_group.num_columns):
        column = row_group.column(place)
        if column.path_in_schema in ("width", "height"):
            statistics = column.statistics
            longest = max(longest, statistics.max if statistics and statistics.has_min_max else float("inf"))
    return longest


def _boxes_of(regions: pa.ListArray, row: int) -> Boxes:
    flat = regions.slice(row, 1).flatten().field("box_xyxy").flatten()
    return as_boxes(flat.to_numpy(zero_copy_only=False).reshape(-1, 4))
