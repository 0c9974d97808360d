"""A copy of a video that browsers play frame by frame: H.264 at a constant rate.

Frame n of the copy is frame n of the video, each shown for 1 / `copy_rate`: where the rate of the video
varies, times differ, numbers do not. The picture is upright and not scaled; an odd width or height gets one
column at the right, or one row at the bottom, that repeats the last one: boxes in pixels stay as they are. A
frame that is damaged is shown as the one before it, at the beginning as the one after it. Sound is left out.
"""

import uuid
from fractions import Fraction
from pathlib import Path

from PIL import Image

from fo1_data.corpus.video.encoding import h264_file
from fo1_data.corpus.video.streams import bad_video, open_stream
from fo1_data.corpus.video.video import Video, VideoInfo

_CRF = 20


def copy_rate(fps: float) -> Fraction:
    """The rate of the copy of a video with so many frames a second; 1 if its frames have no times."""
    return Fraction(fps or 1.0).limit_denominator(1001)


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


def write_browser_copy(video: Video, out: Path) -> None:
    """Write the copy of a video to `out`, a local path, which appears when it is whole.

    Holds a few frames in memory. Raises InputReject if no frame can be read, ConfigError without PyAV.
    """
    info = video.info
    size, rate = copy_wh(info.width, info.height), copy_rate(info.fps)
    part = out.with_name(f".{out.name}.{uuid.uuid4().hex}.part")
    try:
        with h264_file(part, size, rate, _CRF, max(1, round(rate))) as copy:
            shown: Image.Image | None = None
            for frame in video.frames():
                image = _padded(frame.image, size)
                while copy.num_frames < frame.number:
                    copy.add(shown or image)
                shown = image
                copy.add(image)
            if shown is None:
                raise bad_video(video.uri, "not one frame can be decoded")
            while copy.num_frames < info.num_frames:
                copy.add(shown)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _padded(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image with its last column and row repeated up to `size`, which is at most one pixel larger."""
    if image.size == size:
        return image
    padded = Image.new("RGB", size)
    right, bottom = size[0] - image.width, size[1] - image.height
    for offset in ((right, bottom), (right, 0), (0, bottom), (0, 0)):
        padded.paste(image, offset)
    return padded
