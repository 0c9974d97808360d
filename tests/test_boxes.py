"""Conversions of boxes can be reversed, and overlaps are those of counted pixels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fo1_data import boxes as b

WHOLE = arrays(np.float32, st.tuples(st.integers(0, 6), st.just(4)), elements=st.integers(-20, 60).map(float))


@given(WHOLE)
def test_scaling_can_be_reversed(boxes: b.Boxes) -> None:
    assert np.array_equal(b.scale_boxes(b.scale_boxes(boxes, (10, 20), (20, 80)), (20, 80), (10, 20)), boxes)
    assert b.scale_boxes(boxes, (3, 7), (9, 5)).dtype == np.float32


def covered_pixels(box: np.ndarray) -> np.ndarray:
    grid = np.zeros((40, 40), dtype=bool)
    left, top, right, bottom = (int(value) for value in box)
    grid[top:bottom, left:right] = True
    return grid


@given(WHOLE, WHOLE)
def test_overlap_equals_that_of_counted_pixels(first: b.Boxes, second: b.Boxes) -> None:
    first, second = b.clip_boxes(first, (40, 40)), b.clip_boxes(second, (40, 40))
    overlap = b.iou_matrix(first, second)
    assert overlap.shape == (len(first), len(second))
    for i, box in enumerate(first):
        assert b.areas(first)[i] == covered_pixels(box).sum()
        assert b.have_area(first)[i] == (covered_pixels(box).sum() > 0)
        for j, other in enumerate(second):
            both, either = (
                (covered_pixels(box) & covered_pixels(other)).sum(),
                (covered_pixels(box) | covered_pixels(other)).sum(),
            )
            assert np.isclose(overlap[i, j], both / either if either else 0.0)


def test_rows_of_any_kind() -> None:
    assert b.as_boxes([]).shape == (0, 4)
    assert b.as_boxes(iter([(1, 2, 3, 4)])).tolist() == [[1, 2, 3, 4]]
    assert np.isinf(b.as_boxes([(1e300, 0, 0, 0)])[0, 0])
    assert b.have_area(b.as_boxes([(0, 0, np.nan, 1), (0, 0, np.inf, 1), (0, 0, 1, 1)])).tolist() == [
        False,
        False,
        True,
    ]
