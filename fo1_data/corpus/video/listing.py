"""Videos as frames of a corpus: listed at regular times, each read as an image of its own.

A frame is an entry whose `inner` names it (see `frame_names`), so that its address alone identifies it. Its
bytes are a PNG of the frame as shown. Needs PyAV (the extra `video`).
"""

import io
from collections.abc import Iterator

from PIL import Image

from fo1_data.corpus.frame_names import frame_at_time, number_of_video_frame, time_of_frame
from fo1_data.corpus.places import listing_reject
from fo1_data.corpus.video.container_video import ContainerVideo
from fo1_data.corpus.video.frame_times import time_of_timestamp
from fo1_data.corpus.video.streams import VideoStream, no_such_frame, open_stream, turn_of, upright
from fo1_data.errors import ConfigError, InputReject
from fo1_data.storage.addresses import suffix_of
from schemas.corpus import CorpusImage
from schemas.images import Reject

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")
NO_DECODER = "no_video_decoder"
# How far before its time a frame is taken, in seconds: names have 3 decimals, those of one frame 6.
_SLACK_S, _EXACT_SLACK_S = 1e-4, 6e-7


def is_video(address: str) -> bool:
    """Whether the file name is that of a video."""
    return suffix_of(address).lower() in SUFFIXES


def list_frames(entry: CorpusImage, every_s: float) -> Iterator[CorpusImage | Reject]:
    """The frames of a video every `every_s` seconds from its start.

    Yields a reject if the video cannot be opened or PyAV is not installed.
    """
    try:
        with open_stream(entry.uri) as video:
            length_s = _declared_length_s(video)
    except ConfigError as error:
        yield listing_reject(entry.uri, NO_DECODER, str(error))
        return
    except InputReject as error:
        yield listing_reject(entry.uri, error.reason, error.message)
        return
    times = (number * every_s for number in range(int(max(length_s - 1e-6, 0) / every_s) + 1))
    for time_s in times:
        meta = {**(entry.meta or {}), "video": entry.uri, "time_s": round(time_s, 3)}
        yield CorpusImage(uri=entry.uri, inner=frame_at_time(time_s), meta=meta)


def read_frame(entry: CorpusImage) -> bytes:
    """Read a frame as PNG. Raises InputReject (stage `fetch`)."""
    time_s = time_of_frame(entry.inner)
    if time_s is None:
        raise no_such_frame(f"{entry.name} names no frame")
    number = number_of_video_frame(entry.inner)
    with open_stream(entry.uri) as video:
        if number is None or video.is_timed:
            image = _frame_from(video, time_s - (_SLACK_S if number is None else _EXACT_SLACK_S))
        else:
            image = ContainerVideo(entry.uri).frame(number).image
    if image is None:
        raise no_such_frame(f"{entry.name}: the video ends before this time")
    return png_of(image)


def png_of(image: Image.Image) -> bytes:
    """The bytes of a frame that is read as an image."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _declared_length_s(video: VideoStream) -> float:
    stream, container = video.stream, video.container
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None:
        return float(container.duration) / 1e6
    last = 0.0
    for packet in container.demux(stream):
        if packet.pts is not None:
            last = max(last, float(packet.pts * stream.time_base))
    return last


def _frame_from(video: VideoStream, time_s: float) -> Image.Image | None:
    """The first frame shown at `time_s` or after it; the last frame if none follows."""
    opened = next(video.pictures(), None)
    if opened is None:
        return None
    first, picture = opened
    size, turn = (picture.width, picture.height), turn_of(picture)
    target = first + int(max(time_s, 0) / float(video.tick_s))
    for timestamp, later in video.pictures_from(target):
        picture = later
        if time_of_timestamp(timestamp, first, video.tick_s) >= time_s:
            break
    return upright(picture, size, turn)
