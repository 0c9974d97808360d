"""The first pass over a video: every frame is seen once, in its shot; what cannot be decoded is said."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fo1_data.boxes import as_boxes
from fo1_data.corpus.video.video import FramePlace, VideoFrame, VideoInfo
from fo1_data.errors import InputReject
from fo1_data.labelling.shot_followers import DetectedThings
from fo1_data.labelling.shot_following import Following, follow_shots, runs_of
from fo1_data.proposals.proposer import Proposals
from fo1_data.tracking.trackers import load_tracker

FPS = 10.0


class Marked(NamedTuple):
    begins_shot: bool
    frame: VideoFrame


class MadeVideo:
    """A video of `num` frames, of which some are damaged."""

    uri = "made.mp4"
    num_undecodable = 0

    def __init__(self, num: int, damaged: Iterable[int] = ()) -> None:
        self.info = VideoInfo(64, 48, num, num / FPS, FPS, True)
        self._damaged = set(damaged)

    def frames(self, first: int = 0, last: int | None = None, every: int = 1) -> Iterator[VideoFrame]:
        for number in range(first, self.info.num_frames):
            if number not in self._damaged:
                yield VideoFrame(number, number / FPS, Image.new("RGB", (64, 48)))

    def frames_at(self, numbers: Iterable[int]) -> Iterator[VideoFrame]:
        raise NotImplementedError

    def frame(self, number: int) -> VideoFrame:
        raise NotImplementedError

    def time_of(self, number: int) -> float:
        return number / FPS

    def number_at(self, time_s: float) -> int:
        return int(time_s * FPS)

    def place_of(self, number: int) -> FramePlace:
        return FramePlace(self.uri, str(number))


def follow(
    video: MadeVideo, cuts: Iterable[int] = (), every: int = 1, first: int = 0, number: int = 0
) -> list:
    begins = set(cuts)

    def mark(frames: Iterable[VideoFrame]) -> Iterator[Marked]:
        for place, frame in enumerate(frames):
            yield Marked(place == 0 or frame.number in begins, frame)

    def detect(images: list[Image.Image]) -> list[Proposals]:
        return [Proposals(as_boxes([(5, 5, 30, 30)]), np.array([0.9], np.float32)) for _ in images]

    def begin() -> DetectedThings:
        return DetectedThings(detect, load_tracker("bytetrack", FPS), every, batch=3, constant_rate=True)

    return list(follow_shots(video, Following(begin, mark, every), first, number))


@settings(deadline=None)
@given(st.integers(1, 20), st.sets(st.integers(1, 19)), st.sets(st.integers(0, 19), max_size=6))
def test_shots_tile_the_video_and_its_frames_are_found_or_missing(
    num: int, cuts: set[int], damaged: set[int]
) -> None:
    damaged = {number for number in damaged if number < num}
    if len(damaged) == num:
        with pytest.raises(InputReject, match="no frame from 0 on can be decoded"):
            follow(MadeVideo(num, damaged))
        return
    shots = follow(MadeVideo(num, damaged), cuts)
    assert [shot.number for shot in shots] == list(range(len(shots)))
    assert shots[0].first == 0
    assert shots[-1].last == num - 1
    assert all(one.last + 1 == other.first for one, other in pairwise(shots))
    assert sorted(number for shot in shots for number in shot.missing) == sorted(damaged)
    for shot in shots:
        found = {int(frame) for thing in shot.things for frame in thing.frames}
        assert found <= set(range(shot.first, shot.last + 1)) - damaged
        assert len(found) + shot.num_dropped == shot.last - shot.first + 1 - len(shot.missing)


def test_a_pass_that_begins_with_a_shot_finds_what_the_whole_pass_finds() -> None:
    whole = follow(MadeVideo(30), [10, 20])
    rest = follow(MadeVideo(30), [10, 20], first=10, number=1)
    assert [(shot.number, shot.first, shot.last) for shot in rest] == [(1, 10, 19), (2, 20, 29)]
    for one, other in zip(whole[1:], rest, strict=True):
        assert [thing.frames.tolist() for thing in one.things] == [t.frames.tolist() for t in other.things]


def test_frames_between_those_that_are_looked_at_are_no_gap() -> None:
    (shot,) = follow(MadeVideo(12), every=4)
    (thing,) = shot.things
    assert thing.frames.tolist() == [0, 4, 8]
    assert thing.gaps(4) == []


@settings(deadline=None)
@given(st.sets(st.integers(0, 30)))
def test_runs_hold_each_number_once(numbers: set[int]) -> None:
    runs = runs_of(sorted(numbers))
    assert [n for first, last in runs for n in range(first, last + 1)] == sorted(numbers)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(runs))
