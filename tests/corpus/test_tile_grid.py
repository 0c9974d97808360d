"""Tiles: they cover the image, their cores cut it up, and every box has one owner that holds it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.corpus.tile_grid import TileGrid

SIDES = st.integers(1, 500)


@st.composite
def grids(draw: st.DrawFn) -> TileGrid:
    tile_px = draw(st.integers(16, 300))
    return TileGrid((draw(SIDES), draw(SIDES)), tile_px, draw(st.integers(0, tile_px // 2)))


@settings(deadline=None, max_examples=50)
@given(grids())
def test_tiles_lie_in_the_image_and_neighbours_overlap_enough(grid: TileGrid) -> None:
    for axis, starts in enumerate(grid.starts):
        side = grid.image_wh[axis]
        assert starts[0] == 0
        assert min(side, starts[-1] + grid.tile_px) == side
        if len(starts) > 1:
            overlaps = starts[:-1] + grid.tile_px - starts[1:]
            assert starts[-1] + grid.tile_px == side
            assert overlaps.min() >= grid.overlap_px
            # One tile fewer would not do.
            assert (len(starts) - 1) * (grid.tile_px - grid.overlap_px) + grid.overlap_px < side


@settings(deadline=None, max_examples=50)
@given(grids(), st.data())
def test_every_point_of_the_image_is_in_one_core_and_in_its_tile(grid: TileGrid, data: st.DataObject) -> None:
    x, y = (data.draw(st.floats(0, side, width=32)) for side in grid.image_wh)
    point = np.array([[x, y, x, y]], np.float32)
    owner = tuple(grid.owners(point)[0].tolist())
    near = [place for place in grid.places() if grid.is_near_core(point, place, 0)[0]]
    assert near == [owner]
    low_x, low_y, high_x, high_y = grid.window(owner)
    assert low_x <= x <= high_x
    assert low_y <= y <= high_y


@settings(deadline=None, max_examples=50)
@given(grids(), st.data())
def test_a_box_that_is_no_longer_than_the_overlap_lies_whole_in_its_owner(
    grid: TileGrid, data: st.DataObject
) -> None:
    low, high = [], []
    for side in grid.image_wh:
        start = data.draw(st.floats(0, side, width=32))
        low.append(start)
        high.append(min(side, start + data.draw(st.floats(0, grid.overlap_px, width=32))))
    box = np.array([[*low, *high]], np.float32)
    depths = grid.depths(box, grid.owners(box))
    assert depths.min() >= -1e-3


@settings(deadline=None, max_examples=50)
@given(grids(), st.data())
def test_the_owner_of_a_box_is_where_it_lies_deepest(grid: TileGrid, data: st.DataObject) -> None:
    x, y = (data.draw(st.floats(0, side, width=32)) for side in grid.image_wh)
    width, height = (data.draw(st.floats(0, 50, width=32)) for _ in range(2))
    box = np.array([[x - width, y - height, x + width, y + height]], np.float32)
    owner = grid.owners(box)
    depth = grid.depths(box, owner)
    for axis in range(2):
        for step in (-1, 1):
            neighbour = owner + np.eye(2, dtype=np.int64)[axis] * step
            if 0 <= neighbour[0, axis] < (grid.columns, grid.rows)[axis]:
                other = grid.depths(box, neighbour)
                # The side that faces the neighbour lies deeper here than the opposite side lies there.
                here = depth[0, 2 + axis] if step > 0 else depth[0, axis]
                there = other[0, axis] if step > 0 else other[0, 2 + axis]
                assert here >= there - 1e-3


@settings(deadline=None, max_examples=50)
@given(grids())
def test_a_tile_is_found_by_its_pixels_alone(grid: TileGrid) -> None:
    for place in [next(iter(grid.places())), (grid.columns - 1, grid.rows - 1)]:
        assert grid.place_of(grid.window(place)) == place
    assert grid.place_of((0, 0, grid.image_wh[0] + 1, 1)) is None
    assert len(list(grid.places())) == grid.columns * grid.rows


def test_an_overlap_as_long_as_the_tile_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit tiles of 64 px"):
        TileGrid((100, 100), 64, 64)
