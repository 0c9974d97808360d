"""A copy of a video that browsers play frame by frame: H.264 in MP4, yuv420p, at a constant rate.

Browsers and tools of annotation count frames as time x rate, so the copy has a rate at which every frame of
the source is shown for one frame of the copy at least, as near to its time as that allows. Sound is left out.
The picture is upright and not scaled; an odd width or height gets one column at the right, or one row at the
bottom, that repeats the last one, so that boxes in pixels are the same in both.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from PIL import Image

from fo1_data.corpus.video.encoding import h264_file
from fo1_data.corpus.video.streams import bad_video
from fo1_data.corpus.video.video import Video

# The rate of the copy of a video whose rate varies, unless its frames are on average closer.
_MOST_FPS = 60
_CRF = 20


@dataclass(frozen=True)
class ConstantRateCopy:
    """A copy and how its frames belong to those of the source; both are numbered from 0.

    width, height: in pixels, even. fps: frames a second. num_frames: of the copy. starts: for each frame of
    the source the first frame of the copy that shows it; it is shown until the next one starts.
    """

    path: Path
    width: int
    height: int
    fps: float
    num_frames: int
    starts: Sequence[int]

    def copy_frames_of(self, source_frame: int) -> range:
        """The frames of the copy that show a frame of the source. Raises IndexError if it has none."""
        if not 0 <= source_frame < len(self.starts):
            raise IndexError(source_frame)
        last = source_frame + 1 == len(self.starts)
        return range(self.starts[source_frame], self.num_frames if last else self.starts[source_frame + 1])

    def source_frame_of(self, copy_frame: int) -> int:
        """The frame of the source that a frame of the copy shows. Raises IndexError if the copy lacks it."""
        if not 0 <= copy_frame < self.num_frames:
            raise IndexError(copy_frame)
        return bisect_right(self.starts, copy_frame) - 1


def to_constant_rate(video: Video, out: Path, crf: int = _CRF) -> ConstantRateCopy:
    """Write a copy to `out`, a local path, which appears when it is whole.

    crf: x264's quality, 0 the best, 51 the worst. A frame of the source that is damaged is shown as the one
    before it. Holds a few frames in memory. Raises InputReject if no frame can be read, ConfigError without
    PyAV.
    """
    info = video.info
    rate = _rate(video)
    starts = _starts(video, rate)
    num_frames = max(starts[-1] + 1, round(info.duration_s * rate))
    width, height = info.width + info.width % 2, info.height + info.height % 2
    part = out.with_name(f"{out.name}.part")
    try:
        with h264_file(part, (width, height), rate, crf, max(1, round(rate))) as file:
            shown: Image.Image | None = None
            for frame in video.frames():
                image = _padded(frame.image, (width, height))
                while file.num_frames < starts[frame.number]:
                    file.add(shown or image)
                shown = image
                file.add(image)
            if shown is None:
                raise bad_video(video.uri, "not one frame can be decoded")
            while file.num_frames < num_frames:
                file.add(shown)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return ConstantRateCopy(out, width, height, float(rate), num_frames, starts)


def _rate(video: Video) -> Fraction:
    """Frames of the copy a second: the video's own rate if it is constant."""
    info = video.info
    fps = info.fps or 1.0  # a lone frame without a length
    if not info.constant_rate:
        times = (video.time_of(number) for number in range(info.num_frames))
        shortest = min(later - earlier for earlier, later in pairwise(times))
        fps = max(fps, min(_MOST_FPS, 1 / shortest))
    return Fraction(fps).limit_denominator(1001)


def _starts(video: Video, rate: Fraction) -> "array[int]":
    """For each frame of the source where the copy begins to show it: near its time, and each on its own."""
    starts = array("q")
    for number in range(video.info.num_frames):
        near = number if video.info.constant_rate else round(video.time_of(number) * rate)
        starts.append(max(near, starts[-1] + 1 if starts else 0))
    return starts


def _padded(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image with its last column and row repeated up to `size`, which is at most one pixel larger."""
    if image.size == size:
        return image
    wide = Image.new("RGB", size)
    for offset in {(0, 0), (size[0] - image.width, 0), (0, size[1] - image.height)}:
        wide.paste(image, offset)
    wide.paste(image, (size[0] - image.width, size[1] - image.height))
    wide.paste(image, (0, 0))
    return wide
