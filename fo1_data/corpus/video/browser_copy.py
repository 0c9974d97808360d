"""A copy of a video that browsers play frame by frame: H.264 at a constant rate.

Frame n of the copy is frame n of the video, each shown for 1 / `copy_rate`: where the rate of the video
varies, times differ, numbers do not. A side that is odd gets a black pixel more, right or below: boxes in
pixels stay as they are. A frame that is damaged is shown as the one before it.
"""

from fractions import Fraction
from pathlib import Path

from PIL import Image

from fo1_data.corpus.video.encoding import h264_file
from fo1_data.corpus.video.streams import open_stream
from fo1_data.corpus.video.video import Video, VideoInfo

_CRF = 20


def copy_rate(fps: float) -> Fraction:
    """The rate of the copy of a video with so many frames a second."""
    return Fraction(fps).limit_denominator(1001)


def copy_wh(width: int, height: int) -> tuple[int, int]:
    """The size of the copy of a video with frames of this size, in pixels."""
    return width + width % 2, height + height % 2


def is_played_as_numbered(uri: str, info: VideoInfo) -> bool:
    """Whether browsers show the file itself frame by frame as `info` counts them: it needs no copy."""
    with open_stream(uri) as video:
        stream = video.stream
        context = stream.codec_context
        return (
            uri.lower().endswith((".mp4", ".m4v"))
            and (context.name, context.pix_fmt) == ("h264", "yuv420p")
            and info.constant_rate
            and info.fault is None
            and not stream.start_time
            and stream.frames == info.num_frames
            and (stream.width, stream.height) == (info.width, info.height)
        )


def write_browser_copy(video: Video, path: Path) -> None:
    """Write the copy of a video. Raises ConfigError without PyAV, InputReject if a frame cannot be read."""
    info = video.info
    rate = copy_rate(info.fps)
    with h264_file(path, copy_wh(info.width, info.height), rate, _CRF, max(1, round(rate))) as copy:
        picture = Image.new("RGB", copy_wh(info.width, info.height))
        for frame in video.frames():
            while copy.num_frames < frame.number:
                copy.add(picture)
            picture = _padded(frame.image, copy_wh(info.width, info.height))
            copy.add(picture)
        while copy.num_frames < info.num_frames:
            copy.add(picture)


def _padded(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    if image.size == size:
        return image
    padded = Image.new("RGB", size)
    padded.paste(image, (0, 0))
    return padded
