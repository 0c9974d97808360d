"""Smooth boxes: a steady motion stays, trembling goes, and nothing crosses a gap."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.boxes import Boxes, as_boxes
from fo1_data.tracking.shot_tracks import FollowedThing
from fo1_data.tracking.smoothing import smooth
from fo1_data.tracking.views import Views


def thing_of(boxes: Boxes, frames: list[int]) -> FollowedThing:
    ones = np.ones(len(frames), np.float32)
    return FollowedThing(np.array(frames), boxes, ones, Views(ones, ones, ones, ones))


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 4), st.tuples(*[st.integers(-3, 3)] * 2), st.integers(0, 2))
def test_a_steady_motion_stays_as_it_is(num: int, every: int, speed: tuple[int, int], growth: int) -> None:
    steps = np.arange(num)[:, None]
    low = 100 + steps * np.array(speed)
    boxes = as_boxes(np.concatenate([low, low + 20 + growth * steps], axis=1))
    frames = [every * step for step in range(num)]
    smoothed = smooth(thing_of(boxes, frames), every)
    assert np.allclose(smoothed.boxes_xyxy, boxes, atol=1e-3)
    assert smoothed.frames.tolist() == frames


def test_trembling_becomes_less() -> None:
    draw = np.random.default_rng(3)
    true = np.tile(np.array([50, 50, 90, 90], np.float32), (60, 1))
    noisy = as_boxes(true + draw.normal(0, 1, true.shape))
    smoothed = smooth(thing_of(noisy, list(range(60))), 1).boxes_xyxy
    assert np.abs(smoothed - true).mean() < 0.75 * np.abs(noisy - true).mean()


def test_a_jump_over_a_gap_is_not_smoothed_away() -> None:
    boxes = as_boxes([(0, 0, 20, 20)] * 10 + [(200, 200, 220, 220)] * 10)
    frames = [*range(10), *range(15, 25)]
    assert np.allclose(smooth(thing_of(boxes, frames), 1).boxes_xyxy, boxes, atol=1e-3)


def test_short_runs_stay() -> None:
    boxes = as_boxes([(0, 0, 20, 20), (9, 9, 20, 20), (3, 0, 25, 20)])
    assert (smooth(thing_of(boxes, [0, 1, 2]), 1).boxes_xyxy == boxes).all()
