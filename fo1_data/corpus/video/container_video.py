"""A video in a container file, read by PyAV. See `video` for what its frames, numbers and times are."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import pyarrow as pa

from fo1_data.corpus.frame_names import frame_of_video
from fo1_data.corpus.video.frame_index import FrameIndex, index_file
from fo1_data.corpus.video.streams import VideoStream, bad_video, no_such_frame, open_stream, upright
from fo1_data.corpus.video.video import FramePlace, VideoFrame, VideoInfo

# Frames that lie further ahead than this are reached by seeking, others by decoding on.
_LEAP = 48


class ContainerVideo:
    """A video file. Its index is made when it is first needed; every pass opens the file anew.

    A file of the web is loaded once, whole.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.num_undecodable = 0
        self._held: list[pa.Buffer] = []

    @cached_property
    def _index(self) -> FrameIndex:
        return index_file(self.uri, self._held)

    @cached_property
    def info(self) -> VideoInfo:
        times = self._index.times
        width, height = self._index.shown_wh
        return VideoInfo(
            width=width,
            height=height,
            num_frames=len(times),
            duration_s=times.duration_s,
            fps=times.fps,
            constant_rate=times.is_constant,
            fault=self._index.fault,
        )

    def frames(self, first: int = 0, last: int | None = None, every: int = 1) -> Iterator[VideoFrame]:
        end = len(self._index.times)
        return self.frames_at(range(max(first, 0), end if last is None else min(last + 1, end), every))

    def frames_at(self, numbers: Sequence[int]) -> Iterator[VideoFrame]:
        if any(later <= earlier for earlier, later in pairwise(numbers)):
            raise ValueError("the numbers of frames must ascend")
        with open_stream(self.uri, self._held) as video:
            reader = _Reader(video, self._index)
            for number in numbers:
                time_s = self.time_of(number)
                picture = reader.read(number)
                if picture is None:
                    self.num_undecodable += 1
                    continue
                yield VideoFrame(number, time_s, upright(picture, self._index.stored_wh, self._index.turn))

    def frame(self, number: int) -> VideoFrame:
        found = next(self.frames_at([number]), None)
        if found is None:
            raise bad_video(self.uri, f"frame {number} is damaged")
        return found

    def time_of(self, number: int) -> float:
        try:
            return self._index.times.time_of(number)
        except IndexError:
            raise no_such_frame(f"{self.uri} has {len(self._index.times)} frames, none is {number}") from None

    def number_at(self, time_s: float) -> int:
        return self._index.times.number_at(time_s)

    def place_of(self, number: int) -> FramePlace:
        return FramePlace(self.uri, frame_of_video(number, self.time_of(number)))


class _Reader:
    """Reads pictures by ascending number, by decoding on or by a leap to where a decoder can begin."""

    def __init__(self, video: VideoStream, index: FrameIndex) -> None:
        self._video = video
        self._index = index
        self._pictures: Iterator[tuple[int, Any]] | None = None
        self._number = -1
        self._picture: Any = None

    def read(self, number: int) -> Any | None:
        """The picture with this number; None if the decoder does not give it."""
        if self._pictures is None or number - self._number > _LEAP:
            self._go_before(number)
        while self._number < number and self._advance():
            pass
        return self._picture if self._number == number else None

    def _go_before(self, number: int) -> None:
        leaps = number > _LEAP and not self._index.is_by_order
        if leaps:
            pictures = self._video.pictures_from(self._index.times.timestamp_of(number))
        else:
            self._video.restart()
            pictures = self._video.pictures()
        self._pictures = self._numbered(pictures)
        self._number = -1

    def _numbered(self, pictures: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        for count, (timestamp, picture) in enumerate(pictures):
            number = count if self._index.is_by_order else self._index.times.number_of(timestamp)
            if number is not None:
                yield number, picture

    def _advance(self) -> bool:
        assert self._pictures is not None
        number, self._picture = next(self._pictures, (len(self._index.times), None))
        self._number = max(number, self._number)
        return self._picture is not None
