"""What a video is: frames with a number and a time, whether from a file or from numbered images.

Frames are numbered from 0 in the order in which a player shows them. Times are in seconds from the first
frame that is shown. Pictures are turned as the container says; their pixels are not stretched where the
file declares pixels that are not square.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video as a whole.

    width, height: of the frame as shown, in pixels.
    duration_s: until the last frame ends.
    fps: frames divided by duration, also if the rate varies.
    constant_rate: all frames are shown equally long, up to the rounding of the file's clock.
    fault: what of the file cannot be read, in one line; frames after it are not counted. None if all can.
    """

    width: int
    height: int
    num_frames: int
    duration_s: float
    fps: float
    constant_rate: bool
    fault: str | None = None


@dataclass(frozen=True)
class VideoFrame:
    """A frame: its number from 0, its time in seconds from the first frame, its upright RGB image."""

    number: int
    time_s: float
    image: Image.Image


@dataclass(frozen=True)
class FramePlace:
    """Where a frame is read from as an image of its own: `uri` and `inner` of a corpus entry."""

    uri: str
    inner: str | None


class Video(Protocol):
    """An open video. Frames that are asked for and cannot be read raise InputReject (stage `fetch`)."""

    uri: str

    @property
    def info(self) -> VideoInfo: ...

    @property
    def num_undecodable(self) -> int:
        """Frames that were asked for so far and are damaged in the file; `frames` leaves them out."""
        ...

    def frames(self, first: int = 0, last: int | None = None, every: int = 1) -> Iterator[VideoFrame]:
        """Every `every`-th frame from `first` on, up to and with `last` (None: to the end), in order.

        Holds a few frames in memory, whatever the length. Several may be read at the same time.
        """
        ...

    def frames_at(self, numbers: Sequence[int]) -> Iterator[VideoFrame]:
        """The frames of these numbers, which ascend, in one pass that leaps over long stretches."""
        ...

    def frame(self, number: int) -> VideoFrame:
        """One frame, the same as in a pass over all. InputReject (`no_such_frame`) outside the video."""
        ...

    def time_of(self, number: int) -> float:
        """The time at which a player begins to show the frame. InputReject outside the video."""
        ...

    def number_at(self, time_s: float) -> int:
        """The frame that a player shows at a time: the last that began; the first or last outside."""
        ...

    def place_of(self, number: int) -> FramePlace:
        """The corpus entry that reads this frame alone."""
        ...
