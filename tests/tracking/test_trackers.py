"""Trackers of the package, through the code that runs them: which box belongs to which thing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.boxes import as_boxes
from fo1_data.errors import ConfigError
from fo1_data.tracking.names import TRACKER_NAMES
from fo1_data.tracking.shot_tracks import ShotThings, ShotTracks
from fo1_data.tracking.trackers import NOTHING, load_tracker
from fo1_data.tracking.views import Views

FPS = 10.0


def box(x: float, y: float) -> list[float]:
    return [x, y, x + 40, y + 30]


def views_of(num: int) -> Views:
    return Views(*(np.ones(num, np.float32) for _ in Views._fields))


def follow(name: str, frames: list[list[list[float]]], score: float = 0.9) -> ShotThings:
    tracks, tracker = ShotTracks(), load_tracker(name, FPS)
    for number, listed in enumerate(frames):
        boxes, scores = as_boxes(listed), np.full(len(listed), score, np.float32)
        tracks.add(number, tracker.update(boxes, scores), boxes, scores, views_of(len(boxes)))
    return tracks.finish(tracker.confirmed)


@pytest.mark.parametrize("name", TRACKER_NAMES)
def test_boxes_before_a_track_is_confirmed_are_kept(name: str) -> None:
    """The package gives no number to the first boxes of a thing that appears after the first frame."""
    frames = [[box(3 * n, 10)] + ([box(200, 100 + 2 * n)] if n >= 5 else []) for n in range(20)]
    found = follow(name, frames)
    assert [thing.frames.tolist() for thing in found.things] == [list(range(20)), list(range(5, 20))]
    for thing, first in zip(found.things, (0, 5), strict=True):
        place = 0 if first == 0 else 1
        expected = [frames[number][place] for number in range(first, 20)]
        assert thing.boxes_xyxy.tolist() == expected


@pytest.mark.parametrize("name", TRACKER_NAMES)
def test_a_thing_that_is_out_of_sight_for_a_moment_is_one_track_with_a_gap(name: str) -> None:
    frames = [[box(100, 10), *([] if 8 <= n < 12 else [box(10, 200)])] for n in range(24)]
    found = follow(name, frames)
    assert len(found.things) == 2
    assert found.things[1].gaps(1) == [(8, 11)]


@pytest.mark.parametrize("name", TRACKER_NAMES)
def test_a_box_of_one_frame_is_dropped_and_counted(name: str) -> None:
    frames = [[box(50, 50)] + ([box(300, 300)] if n == 9 else []) for n in range(20)]
    found = follow(name, frames)
    assert len(found.things) == 1
    assert found.num_dropped == 1


@pytest.mark.parametrize("name", TRACKER_NAMES)
def test_a_frame_without_boxes_and_a_shot_without_any(name: str) -> None:
    assert follow(name, [[], [], []]).things == []
    assert len(follow(name, [[], [box(0, 0)], [box(1, 1)], [box(2, 2)], []]).things) == 1


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(TRACKER_NAMES),
    st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=5), max_size=12),
)
def test_every_box_is_of_one_thing_or_dropped(name: str, places: list[list[tuple[int, int]]]) -> None:
    """Also where boxes of a frame are equal."""
    frames = [[box(20 * x, 20 * y) for x, y in of_frame] for of_frame in places]
    found = follow(name, frames, 0.8)
    kept = sorted(
        (int(frame), *map(float, corners))
        for thing in found.things
        for frame, corners in zip(thing.frames, thing.boxes_xyxy.tolist(), strict=True)
    )
    given_boxes = sorted((number, *corners) for number, boxes in enumerate(frames) for corners in boxes)
    assert len(kept) + found.num_dropped == len(given_boxes)
    for item in kept:
        given_boxes.remove(item)  # each at most once
    assert all((np.diff(thing.frames) > 0).all() for thing in found.things)


def test_where_frames_are_not_evenly_spaced_their_times_count() -> None:
    """A thing at a steady speed jumps where frames are missing: its time says how far."""

    def numbers(timed: bool) -> set[int]:
        tracker = load_tracker("bytetrack", FPS)
        seen = []
        for number in [*range(10), *range(16, 26)]:
            boxes = as_boxes([box(12 * number, 10)])
            time_s = number / FPS if timed else None
            seen += tracker.update(boxes, np.array([0.9], np.float32), time_s).tolist()
        return set(seen) - {NOTHING}

    assert numbers(timed=True) == {0}
    assert len(numbers(timed=False)) == 2


def test_the_label_that_a_detector_gives_most_is_the_things() -> None:
    tracks, thing, score = ShotTracks(), np.zeros(1, np.int64), np.array([0.9], np.float32)
    for number, label in enumerate(["cat", "dog", "dog", None]):
        tracks.add(number, thing, as_boxes([box(5, 5)]), score, views_of(1), [label])
    assert [thing.label for thing in tracks.finish().things] == ["dog"]


def test_an_unknown_name_is_one_line() -> None:
    with pytest.raises(ConfigError, match="unknown; take bytetrack"):
        load_tracker("deepsort", FPS)
