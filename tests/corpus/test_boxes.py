"""Boxes go there and back, and their overlap is what counting pixels says."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fo1_data import boxes as b

WHOLE = arrays(np.float32, st.tuples(st.integers(0, 6), st.just(4)), elements=st.integers(-20, 60).map(float))


@given(WHOLE)
def test_there_and_back(boxes: b.Boxes) -> None:
    assert np.array_equal(b.xywh_to_xyxy(b.xyxy_to_xywh(boxes)), boxes)
    assert np.array_equal(b.cxcywh_to_xyxy(b.xyxy_to_cxcywh(boxes)), boxes)
    assert np.array_equal(b.scale_boxes(b.scale_boxes(boxes, (10, 20), (20, 80)), (20, 80), (10, 20)), boxes)
    assert b.scale_boxes(boxes, (3, 7), (9, 5)).dtype == np.float32


def covered(box: np.ndarray) -> np.ndarray:
    grid = np.zeros((40, 40), dtype=bool)
    left, top, right, bottom = (int(value) for value in box)
    grid[top:bottom, left:right] = True
    return grid


@given(WHOLE, WHOLE)
def test_overlap_is_that_of_the_pixels(first: b.Boxes, second: b.Boxes) -> None:
    first, second = b.clip_boxes(first, (40, 40)), b.clip_boxes(second, (40, 40))
    overlap = b.iou_matrix(first, second)
    assert overlap.shape == (len(first), len(second))
    for i, one in enumerate(first):
        assert b.areas(first)[i] == covered(one).sum()
        assert b.have_area(first)[i] == (covered(one).sum() > 0)
        for j, other in enumerate(second):
            both, either = (covered(one) & covered(other)).sum(), (covered(one) | covered(other)).sum()
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
