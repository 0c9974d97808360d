"""Boxes of all tiles as boxes of the image: each thing once and whole, small ones on large ones too."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.boxes import Boxes, as_boxes, iou_matrix
from fo1_data.corpus.tile_grid import Places, TileGrid
from fo1_data.corpus.tile_ownership import stays_in_tile
from fo1_data.corpus.tile_twins import WHOLE, UnitedBoxes, unite_boxes

GRID = TileGrid((900, 700), 200, 60)
Seen = tuple[Boxes, Places]


def seen_in_tiles(
    things: Boxes, rng: np.random.Generator, jitter_px: float = 2.0, whole: bool = True
) -> Seen:
    """What a detector finds of the things in every tile and in the whole image, and what of it stays."""
    boxes: list[Boxes] = []
    places: list[tuple[int, int]] = []
    for place in GRID.places():
        left, top, right, bottom = GRID.window(place)
        clipped = things + rng.uniform(-2, 2, things.shape).astype(np.float32)
        clipped = np.clip(clipped, [left, top, left, top], [right, bottom, right, bottom]).astype(np.float32)
        found = clipped[(clipped[:, 2:] - clipped[:, :2]).min(axis=1) > 6]
        found = found[stays_in_tile(GRID, place, found)]
        boxes.append(found)
        places += [place] * len(found)
    if whole:
        found = things + rng.uniform(-4, 4, things.shape).astype(np.float32)
        found = found[stays_in_tile(GRID, None, found)]
        boxes.append(found)
        places += [WHOLE] * len(found)
    return np.concatenate(boxes), np.array(places, np.int64).reshape(-1, 2)


def united(seen: Seen) -> UnitedBoxes:
    boxes, places = seen
    return unite_boxes(GRID, boxes, places, np.ones(len(boxes), np.bool_))


@st.composite
def things(draw: st.DrawFn) -> Boxes:
    """Things that do not touch, in cells of 100 px."""
    cells = draw(
        st.lists(st.tuples(st.integers(0, 8), st.integers(0, 6)), min_size=1, max_size=20, unique=True)
    )
    boxes = []
    for column, row in cells:
        width, height = draw(st.integers(12, 60)), draw(st.integers(12, 60))
        x, y = draw(st.integers(0, 96 - width)), draw(st.integers(0, 96 - height))
        boxes.append((column * 100 + x, row * 100 + y, column * 100 + x + width, row * 100 + y + height))
    return as_boxes(boxes)


@settings(deadline=None, max_examples=50)
@given(things(), st.integers(0, 2**31))
def test_things_up_to_the_overlap_come_out_once_each(wanted: Boxes, seed: int) -> None:
    result = united(seen_in_tiles(wanted, np.random.default_rng(seed)))
    overlaps = iou_matrix(wanted, result.boxes_xyxy)
    assert len(result.kept) == len(wanted)
    assert (overlaps.max(axis=1) > 0.4).all()


@pytest.mark.parametrize("bar", [(50, 100, 430, 140), (300, 20, 345, 680), (0, 300, 900, 345)])
def test_the_halves_of_a_long_thing_become_one_box(bar: tuple[int, int, int, int]) -> None:
    result = united(seen_in_tiles(as_boxes([bar]), np.random.default_rng(0), whole=False))
    assert len(result.kept) == 1
    assert iou_matrix(as_boxes([bar]), result.boxes_xyxy).min() > 0.85
    assert set(result.survivor.tolist()) <= set(result.kept.tolist())


def test_a_thing_that_the_whole_image_shows_replaces_its_parts_and_keeps_what_lies_on_it() -> None:
    field, car = (60, 60, 700, 600), (300, 300, 330, 320)
    result = united(seen_in_tiles(as_boxes([field, car]), np.random.default_rng(0)))
    overlaps = iou_matrix(as_boxes([field, car]), result.boxes_xyxy)
    assert overlaps.max(axis=1).min() > 0.7
    assert len(result.kept) == 2


def test_a_long_thing_that_a_tile_holds_whole_is_not_taken_from_the_whole_image() -> None:
    thing = as_boxes([(150, 150, 250, 200)])
    boxes, places = seen_in_tiles(thing, np.random.default_rng(0))
    result = united((boxes, places))
    assert len(result.kept) == 1
    assert tuple(places[result.kept[0]]) != WHOLE


def test_boxes_that_were_given_all_stay() -> None:
    boxes = as_boxes([(10, 10, 50, 50), (10, 10, 50, 50), (12, 10, 52, 50), (10, 10, 400, 50)])
    places = np.array([(0, 0), (0, 0), (1, 0), WHOLE], np.int64)
    result = unite_boxes(GRID, boxes, places, np.zeros(4, np.bool_))
    assert result.kept.tolist() == [0, 1, 2, 3]
    assert np.array_equal(result.boxes_xyxy, boxes)


def test_no_box_at_all_is_no_box() -> None:
    result = united((as_boxes([]), np.zeros((0, 2), np.int64)))
    assert len(result.kept) == 0
