"""Keyframes: few frames, each track well seen, the same for the same tracks."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from fo1_data.boxes import as_boxes
from fo1_data.tracking.keyframes import KEYFRAMES_A_TRACK, choose_keyframes, choose_looks, view_quality
from fo1_data.tracking.shot_tracks import FollowedThing
from fo1_data.tracking.views import Views, measure_views

APART = 8


def thing_of(first: int, sizes: list[int], covered: list[float] | None = None) -> FollowedThing:
    num = len(sizes)
    views = Views(
        np.array(sizes, np.float32) ** 2,
        np.full(num, 10, np.float32),
        np.zeros(num, np.float32),
        np.array(covered or [0.0] * num, np.float32),
    )
    boxes = as_boxes([(0, 0, size, size) for size in sizes])
    return FollowedThing(np.arange(first, first + num), boxes, np.ones(num, np.float32), views)


THINGS = st.lists(
    st.builds(
        thing_of,
        st.integers(0, 60),
        st.lists(st.integers(4, 80), min_size=1, max_size=40),
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(THINGS)
def test_each_thing_is_seen_nearly_as_well_as_it_can_be(things: list[FollowedThing]) -> None:
    chosen = choose_keyframes(things, APART)
    assert chosen == sorted(set(chosen))
    for thing in things:
        quality = dict(zip(thing.frames.tolist(), view_quality(thing.views).tolist(), strict=True))
        seen = [quality[frame] for frame in chosen if frame in quality]
        assert seen, "a thing that nobody looks at"
        assert max(seen) > 0.74  # of its best
    assert len(chosen) <= KEYFRAMES_A_TRACK * len(things)
    assert all(any(frame in thing.frames for thing in things) for frame in chosen)


@settings(max_examples=60, deadline=None)
@given(THINGS)
def test_each_thing_is_asked_about_in_a_few_of_the_frames_that_show_it(things: list[FollowedThing]) -> None:
    chosen = choose_keyframes(things, APART)
    for thing, looks in zip(things, choose_looks(things, chosen, APART), strict=True):
        shown = [frame for frame in chosen if frame in thing.frames]
        assert 1 <= len(looks) <= KEYFRAMES_A_TRACK
        assert len(looks) == min(len(shown), KEYFRAMES_A_TRACK)
        assert looks == sorted(set(looks) & set(shown))
        quality = dict(zip(thing.frames.tolist(), view_quality(thing.views).tolist(), strict=True))
        assert max(quality[frame] for frame in looks) == max(quality[frame] for frame in shown)


@settings(max_examples=50, deadline=None)
@given(THINGS, st.randoms())
def test_the_order_of_the_things_does_not_matter(things: list[FollowedThing], draw: object) -> None:
    shuffled = list(things)
    draw.shuffle(shuffled)  # type: ignore[attr-defined]
    assert choose_keyframes(shuffled, APART) == choose_keyframes(things, APART)


def test_one_frame_serves_all_things_in_it() -> None:
    together = [thing_of(0, [20] * 60) for _ in range(6)]
    assert len(choose_keyframes(together, APART)) == KEYFRAMES_A_TRACK
    assert len(choose_keyframes(together, APART, most_a_track=1)) == 1


def test_looks_at_one_moment_are_no_evidence() -> None:
    chosen = choose_keyframes([thing_of(0, [20] * 60)], APART)
    assert min(np.diff(chosen)) >= APART / 2
    assert len(choose_keyframes([thing_of(0, [20, 20, 20])], APART)) == 1


def test_a_frame_where_the_thing_is_hidden_is_not_taken() -> None:
    hidden = thing_of(0, [30] * 20, [0.8] * 15 + [0.0] * 5)
    assert all(frame >= 15 for frame in choose_keyframes([hidden], 2))


def test_what_is_blurred_cut_or_covered_is_measured() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (100, 200, 3), np.uint8)
    sharp = Image.fromarray(noise)
    boxes = as_boxes([(20, 20, 60, 60), (150, 50, 200, 80), (40, 40, 80, 80)])
    views = measure_views(sharp, boxes)
    assert views.area_px.tolist() == [1600, 1500, 1600]
    assert views.cut.tolist() == [0, 1, 0]
    assert np.allclose(views.covered, [0.25, 0, 0.25])
    blurred = measure_views(sharp.filter(ImageFilter.GaussianBlur(3)), boxes)
    assert (blurred.sharpness < views.sharpness / 4).all()
    assert all(len(values) == 0 for values in measure_views(sharp, as_boxes([])))
