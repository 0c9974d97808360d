"""A video that is a folder or a list of numbered images, shown at a constant rate.

The n-th image in the order of the numbers in the file names is frame n, from 0; numbers that are left out
leave no gap. All images have the size of the first. EXIF orientation is applied.
"""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

from PIL import Image

from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.corpus.places import children, join_verbatim
from fo1_data.corpus.video.frame_times import FrameTimes
from fo1_data.corpus.video.streams import bad_video, no_such_frame
from fo1_data.corpus.video.video import FramePlace, VideoFrame, VideoInfo
from fo1_data.errors import ConfigError, InputReject
from fo1_data.storage.addresses import base_name, suffix_of
from fo1_data.storage.downloads import download

_DIGITS = re.compile(r"(\d+)")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def numbered_images(folder: str) -> list[str]:
    """The images directly in a folder, in the order of the numbers in their names."""
    names = (name for name in children(folder)[0] if suffix_of(name).lower() in _SUFFIXES)
    return [join_verbatim(folder, name) for name in sorted(names, key=_order)]


def _order(name: str) -> tuple[tuple[str | int, ...], str]:
    parts = _DIGITS.split(name)
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts)), name


class FrameSequence:
    """Images as a video of `fps` frames a second. Raises ConfigError without images or a rate above 0."""

    num_undecodable = 0

    def __init__(
        self, uri: str, images: Sequence[str], fps: float, limits: InputLimits = InputLimits()
    ) -> None:
        if not images:
            raise ConfigError(f"{uri} is no video: it holds no image")
        if not 0 < fps < float("inf"):
            raise ConfigError(f"the rate of {uri} is {fps:g} frames a second: give one above 0")
        self.uri = uri
        self._images = images
        self._limits = limits
        self._times = FrameTimes(range(len(images)), 1 / Fraction(fps).limit_denominator(1_000_000), 1)
        width, height = self._read(0).size
        self.info = VideoInfo(width, height, len(images), self._times.duration_s, self._times.fps, True)

    def _read(self, number: int) -> Image.Image:
        address = self._images[number]
        data = download(address, max_bytes=self._limits.max_bytes, timeout_s=self._limits.download_timeout_s)
        try:
            return decode_rgb(data, self._limits).rgb
        except InputReject as error:
            raise InputReject(error.stage, error.reason, f"{address}: {error.message}") from error

    def frames(self, first: int = 0, last: int | None = None, every: int = 1) -> Iterator[VideoFrame]:
        """As of `Video`."""
        end = len(self._images)
        return self.frames_at(range(max(first, 0), end if last is None else min(last + 1, end), every))

    def frames_at(self, numbers: Sequence[int]) -> Iterator[VideoFrame]:
        """As of `Video`."""
        for number in numbers:
            yield self.frame(number)

    def frame(self, number: int) -> VideoFrame:
        """As of `Video`. InputReject also if the image has another size than the first."""
        time_s = self.time_of(number)
        image = self._read(number)
        if image.size != (self.info.width, self.info.height):
            raise bad_video(
                self.uri,
                f"{base_name(self._images[number])} is {image.width}x{image.height} px, "
                f"the first image {self.info.width}x{self.info.height}",
            )
        return VideoFrame(number, time_s, image)

    def time_of(self, number: int) -> float:
        """As of `Video`."""
        try:
            return self._times.time_of(number)
        except IndexError:
            raise no_such_frame(f"{self.uri} has {len(self._images)} frames, none is {number}") from None

    def number_at(self, time_s: float) -> int:
        """As of `Video`."""
        return self._times.number_at(time_s)

    def place_of(self, number: int) -> FramePlace:
        """As of `Video`: the image itself."""
        self.time_of(number)
        return FramePlace(self._images[number], None)
