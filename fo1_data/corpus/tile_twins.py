"""Boxes of all tiles of an image as boxes of the image: each thing once, and whole.

Four rules, in this order. Only boxes of neighbouring tiles are compared, so the work grows with the number of
tiles, not with its square; the few boxes of the whole image are compared with all others.

1. Twins: two boxes of neighbours with an IoU of `TWIN_IOU` are the same thing. The one deeper in its tile
   stays; a box that its tile's edge cuts is never the deeper one.
2. A box of the whole image that is the twin of an uncut box of a tile goes: the tile shows it finer.
3. Parts: a cut box that lies in an uncut one, as wide across the cut as that, goes.
4. Halves: cut boxes that face each other over an edge, equally wide across it, become one box.

A small thing on a large one is neither twin nor part of it, because no edge cuts it. Boxes: (N, 4) float32,
pixels of the upright image.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fo1_data.boxes import Bools, Boxes, areas, iou_matrix
from fo1_data.corpus.tile_grid import Place, Places, TileGrid
from fo1_data.corpus.tile_ownership import cut_sides

TWIN_IOU = 0.5
_PART_COVERED = 0.7
_SAME_WIDTH_IOU = 0.5
# Right, below, and the two diagonals: each pair of neighbours once.
_FORWARD = ((1, 0), (0, 1), (1, 1), (-1, 1))
# The side (of x_min, y_min, x_max, y_max) of a tile's box that faces the neighbour at right, and below.
_FACING = {(1, 0): 2, (0, 1): 3}
WHOLE: Place = (-1, -1)

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class UnitedBoxes:
    """kept: indices of the boxes that stay, ascending; boxes_xyxy: of these. survivor: (N,) for each box the
    box that holds its content after halves were merged; itself if nothing was."""

    kept: Indices
    boxes_xyxy: Boxes
    survivor: Indices


def unite_boxes(grid: TileGrid, boxes_xyxy: Boxes, places: Places, may_go: Bools) -> UnitedBoxes:
    """places: (N, 2), the tile of each box, `WHOLE` for those of the whole image. may_go: (N,) False for
    boxes that were given, which all stay and suppress nothing."""
    stays = np.ones(len(boxes_xyxy), np.bool_)
    is_whole = places[:, 0] < 0
    of_tiles, of_whole = np.flatnonzero(may_go & ~is_whole), np.flatnonzero(may_go & is_whole)
    cut = np.zeros((len(boxes_xyxy), 4), np.bool_)
    depths = np.full(len(boxes_xyxy), np.inf)
    if len(of_tiles):
        cut[of_tiles] = cut_sides(grid, boxes_xyxy[of_tiles], places[of_tiles])
        depths[of_tiles] = grid.depths(boxes_xyxy[of_tiles], places[of_tiles]).min(axis=1)
    is_cut: Bools = np.logical_or.reduce(cut, axis=1)
    pairs = _Pairs.of_neighbours(grid, boxes_xyxy, places, of_tiles)
    _drop_twins(stays, pairs, is_cut, depths)
    _drop_twins_of_whole(stays, boxes_xyxy, of_whole, of_tiles[~is_cut[of_tiles]])
    _drop_parts(stays, pairs, boxes_xyxy, cut, of_whole, of_tiles)
    survivor, merged = _merge_halves(stays, pairs, boxes_xyxy, cut)
    kept = np.flatnonzero(stays)
    return UnitedBoxes(kept, merged[kept], survivor)


@dataclass(frozen=True)
class _Pairs:
    """Boxes of neighbouring tiles that intersect. first, second: (P,) indices; steps: (P, 2) from the tile of
    the first to that of the second; overlaps: (P,) their IoU."""

    first: Indices
    second: Indices
    steps: Indices
    overlaps: npt.NDArray[np.float32]

    @classmethod
    def of_neighbours(cls, grid: TileGrid, boxes_xyxy: Boxes, places: Places, chosen: Indices) -> "_Pairs":
        by_tile = _by_tile(places, chosen)
        found = list(_found_pairs(grid, boxes_xyxy, by_tile))
        if not found:
            none = np.zeros(0, np.int64)
            return cls(none, none, np.zeros((0, 2), np.int64), np.zeros(0, np.float32))
        first, second, steps, overlaps = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return cls(first, second, steps, overlaps)


def _by_tile(places: Places, chosen: Indices) -> dict[Place, Indices]:
    """The chosen boxes of each tile."""
    if not len(chosen):
        return {}
    tiles, numbers = np.unique(places[chosen], axis=0, return_inverse=True)
    order = np.argsort(numbers.reshape(-1), kind="stable")
    ends = np.cumsum(np.bincount(numbers.reshape(-1), minlength=len(tiles)))
    groups = np.split(chosen[order], ends[:-1])
    return {(int(column), int(row)): group for (column, row), group in zip(tiles, groups, strict=True)}


def _found_pairs(
    grid: TileGrid, boxes_xyxy: Boxes, by_tile: dict[Place, Indices]
) -> Iterator[tuple[Indices, Indices, Indices, npt.NDArray[np.float32]]]:
    for place, here in by_tile.items():
        for step in _FORWARD:
            beside = (place[0] + step[0], place[1] + step[1])
            if beside not in by_tile:
                continue
            ours = here[_reaches(boxes_xyxy[here], grid.window(beside))]
            theirs = by_tile[beside][_reaches(boxes_xyxy[by_tile[beside]], grid.window(place))]
            if not len(ours) or not len(theirs):
                continue
            overlaps = iou_matrix(boxes_xyxy[ours], boxes_xyxy[theirs])
            rows, columns = np.nonzero(overlaps)
            steps = np.broadcast_to(np.array(step, np.int64), (len(rows), 2))
            yield ours[rows], theirs[columns], steps, overlaps[rows, columns]


def _reaches(boxes_xyxy: Boxes, window_xyxy: tuple[int, int, int, int]) -> Bools:
    left, top, right, bottom = window_xyxy
    reaches: Bools = (
        (boxes_xyxy[:, 0] < right)
        & (boxes_xyxy[:, 2] > left)
        & (boxes_xyxy[:, 1] < bottom)
        & (boxes_xyxy[:, 3] > top)
    )
    return reaches


def _drop_twins(stays: Bools, pairs: _Pairs, is_cut: Bools, depths: npt.NDArray[np.float64]) -> None:
    """Rule 1. The deepest box of all goes first and drops its twins, as in non-maximum suppression."""
    both_cut = is_cut[pairs.first] & is_cut[pairs.second]
    are_twins = (pairs.overlaps >= TWIN_IOU) & ~both_cut
    twins_of = defaultdict(list)
    for first, second in zip(pairs.first[are_twins].tolist(), pairs.second[are_twins].tolist(), strict=True):
        twins_of[first].append(second)
        twins_of[second].append(first)
    for box in sorted(twins_of, key=lambda box: (bool(is_cut[box]), -float(depths[box]), box)):
        if stays[box]:
            stays[twins_of[box]] = False


def _drop_twins_of_whole(stays: Bools, boxes_xyxy: Boxes, of_whole: Indices, uncut: Indices) -> None:
    """Rule 2."""
    uncut = uncut[stays[uncut]]
    for box in of_whole:
        if len(uncut) and iou_matrix(boxes_xyxy[[box]], boxes_xyxy[uncut]).max() >= TWIN_IOU:
            stays[box] = False


def _drop_parts(
    stays: Bools,
    pairs: _Pairs,
    boxes_xyxy: Boxes,
    cut: npt.NDArray[np.bool_],
    of_whole: Indices,
    of_tiles: Indices,
) -> None:
    """Rule 3."""
    is_cut: Bools = np.logical_or.reduce(cut, axis=1)
    for parts, wholes in ((pairs.first, pairs.second), (pairs.second, pairs.first)):
        seen = is_cut[parts] & ~is_cut[wholes] & stays[parts] & stays[wholes]
        parts, wholes = parts[seen], wholes[seen]
        stays[parts[_are_parts(boxes_xyxy[parts], boxes_xyxy[wholes], cut[parts])]] = False
    for box in of_whole[stays[of_whole]]:
        parts = of_tiles[is_cut[of_tiles] & stays[of_tiles]]
        repeated = np.broadcast_to(boxes_xyxy[box], (len(parts), 4))
        stays[parts[_are_parts(boxes_xyxy[parts], repeated, cut[parts])]] = False


def _are_parts(parts_xyxy: Boxes, wholes_xyxy: Boxes, cut: npt.NDArray[np.bool_]) -> Bools:
    """(P,) whether each part lies in its whole and is as wide as that across the sides that are cut."""
    low = np.maximum(parts_xyxy[:, :2], wholes_xyxy[:, :2])
    high = np.minimum(parts_xyxy[:, 2:], wholes_xyxy[:, 2:])
    sides = np.maximum(high - low, 0)
    are_parts: Bools = sides[:, 0] * sides[:, 1] >= _PART_COVERED * areas(parts_xyxy)
    for axis in range(2):
        # A part that is cut on both axes is narrower than its whole on both.
        is_cut = (cut[:, axis] | cut[:, axis + 2]) & ~(cut[:, 1 - axis] | cut[:, 3 - axis])
        are_parts &= ~is_cut | (_interval_iou(parts_xyxy, wholes_xyxy, 1 - axis) >= _SAME_WIDTH_IOU)
    return are_parts


def _interval_iou(boxes_xyxy: Boxes, others_xyxy: Boxes, axis: int) -> npt.NDArray[np.float32]:
    """(P,) intersection over union of the boxes' extents along an axis."""
    low, high = axis, axis + 2
    shared = np.minimum(boxes_xyxy[:, high], others_xyxy[:, high]) - np.maximum(
        boxes_xyxy[:, low], others_xyxy[:, low]
    )
    spanned = np.maximum(boxes_xyxy[:, high], others_xyxy[:, high]) - np.minimum(
        boxes_xyxy[:, low], others_xyxy[:, low]
    )
    overlap: npt.NDArray[np.float32] = np.maximum(shared, 0) / np.maximum(spanned, 1e-6)
    return overlap


def _merge_halves(
    stays: Bools, pairs: _Pairs, boxes_xyxy: Boxes, cut: npt.NDArray[np.bool_]
) -> tuple[Indices, Boxes]:
    """Rule 4. Of halves that become one the largest stays, with the box of all."""
    survivor = np.arange(len(boxes_xyxy))
    merged = boxes_xyxy.copy()
    for first, second in _halves(stays, pairs, boxes_xyxy, cut):
        here, there = _root(survivor, first), _root(survivor, second)
        if here == there:
            continue
        if areas(boxes_xyxy[[there]])[0] > areas(boxes_xyxy[[here]])[0]:
            here, there = there, here
        survivor[there] = here
        stays[there] = False
        merged[here, :2] = np.minimum(merged[here, :2], merged[there, :2])
        merged[here, 2:] = np.maximum(merged[here, 2:], merged[there, 2:])
    for box in np.flatnonzero(survivor != np.arange(len(survivor))):
        survivor[box] = _root(survivor, int(box))
    return survivor, merged


def _halves(
    stays: Bools, pairs: _Pairs, boxes_xyxy: Boxes, cut: npt.NDArray[np.bool_]
) -> Iterator[tuple[int, int]]:
    for step, side in _FACING.items():
        axis = side - 2
        facing = (
            (pairs.steps == step).all(axis=1)
            & stays[pairs.first]
            & stays[pairs.second]
            & cut[pairs.first, side]
            & cut[pairs.second, axis]
        )
        first, second = pairs.first[facing], pairs.second[facing]
        are_halves = _interval_iou(boxes_xyxy[first], boxes_xyxy[second], 1 - axis) >= _SAME_WIDTH_IOU
        yield from zip(first[are_halves].tolist(), second[are_halves].tolist(), strict=True)


def _root(survivor: Indices, box: int) -> int:
    while survivor[box] != box:
        box = int(survivor[box])
    return box
