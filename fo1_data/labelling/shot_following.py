"""The first pass over a video: finds shots, and follows the things in each of them.

Frames are streamed and no pixels are kept. Every frame is looked at for cuts, every `track_every`-th of a
shot for boxes. What follows things is of one shot, so that a pass that begins with a shot finds what a pass
over the whole video finds. Boxes are in pixels of the frame.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fo1_data.corpus.video.frame_sequence import FrameSequence
from fo1_data.corpus.video.streams import bad_video
from fo1_data.corpus.video.video import Video, VideoFrame
from fo1_data.errors import InputReject
from fo1_data.labelling.shot_followers import ShotFollower
from fo1_data.tracking.shot_tracks import FollowedThing


class MarkedFrame(Protocol):
    """A frame, and whether a shot begins with it."""

    @property
    def begins_shot(self) -> bool: ...
    @property
    def frame(self) -> VideoFrame: ...


@dataclass(frozen=True)
class FoundShot:
    """The frames `first` to `last` of a video, both included, and the things in them.

    `number`: of the shot in the video, from 0. `missing`: the frames in it that could not be decoded.
    `num_dropped`: boxes that belong to no thing.
    """

    number: int
    first: int
    last: int
    things: list[FollowedThing] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    num_dropped: int = 0


@dataclass(frozen=True)
class Following:
    """How shots are followed. begin: what follows the things of a new shot. mark: says of frames, in order,
    which begin a shot; what it says after a cut does not depend on what lies before. every: between the
    frames of a shot that are looked at. on_frame: called for each frame."""

    begin: Callable[[], ShotFollower]
    mark: Callable[[Iterable[VideoFrame]], Iterator[MarkedFrame]]
    every: int = 1
    on_frame: Callable[[], None] = lambda: None


def follow_shots(video: Video, following: Following, first: int = 0, number: int = 0) -> Iterator[FoundShot]:
    """The shots of a video from frame `first` on, which begins shot `number`.

    Raises InputReject if the video, or all of it from there on, cannot be read.
    """
    shot: _Shot | None = None
    for marked in following.mark(_readable(video, first)):
        following.on_frame()
        frame = marked.frame
        if shot is not None and marked.begins_shot:
            yield shot.finish(frame.number - 1)
            number, first, shot = number + 1, frame.number, None
        shot = shot or _Shot(following, number, first)
        shot.add(frame)
    if shot is None:
        raise bad_video(video.uri, f"no frame from {first} on can be decoded")
    yield shot.finish(video.info.num_frames - 1)


def _readable(video: Video, first: int) -> Iterator[VideoFrame]:
    """The frames that can be read: a damaged image of a sequence does not end it."""
    while first < video.info.num_frames:
        try:
            for frame in video.frames(first):
                first = frame.number + 1
                yield frame
            return
        except InputReject:
            if not isinstance(video, FrameSequence):
                raise
            first += 1


class _Shot:
    """A shot that is followed."""

    def __init__(self, following: Following, number: int, first: int) -> None:
        self._every, self._number, self._first = following.every, number, first
        self._follower = following.begin()
        self._missing: list[int] = []
        self._next = first

    def add(self, frame: VideoFrame) -> None:
        """The next frame that could be decoded."""
        self._skip_to(frame.number)
        self._next = frame.number + 1
        if (frame.number - self._first) % self._every == 0:
            self._follower.add(frame)

    def finish(self, last: int) -> FoundShot:
        """The shot, which ends with the frame `last`."""
        self._skip_to(last + 1)
        found = self._follower.finish()
        return FoundShot(self._number, self._first, last, found.things, self._missing, found.num_dropped)

    def _skip_to(self, number: int) -> None:
        self._missing += range(self._next, number)


def runs_of(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending numbers as runs without a hole: first and last of each."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
