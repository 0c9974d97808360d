"""Videos as frames: listed at regular times, each read as an image of its own.

A frame is an entry whose `inner` contains its time (`frame@12.500s`), so that its address alone identifies
it. Its bytes are a PNG of the first frame at that time or after it, rotated as the file declares. Times are
in seconds from the start of the video. Needs PyAV (the extra `video`).
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fo1_data.corpus.frame_names import frame_at_time, time_of_frame
from fo1_data.corpus.places import listing_reject
from fo1_data.errors import ConfigError, CorpusError, InputReject
from fo1_data.storage.addresses import suffix_of
from fo1_data.storage.streams import one_line, open_seekable
from schemas.corpus import CorpusImage
from schemas.images import Reject, RejectStage

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")
NO_DECODER = "no_video_decoder"
# Only containers: FFmpeg would also follow playlists, to addresses named by an untrusted file.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpeg,mpegvideo,mpegts"


def is_video(address: str) -> bool:
    """Whether the file name is that of a video."""
    return suffix_of(address).lower() in SUFFIXES


def list_frames(entry: CorpusImage, every_s: float) -> Iterator[CorpusImage | Reject]:
    """The frames of a video every `every_s` seconds from its start.

    Yields a reject if the video cannot be opened or PyAV is not installed.
    """
    try:
        with _open_video(entry.uri) as (container, stream):
            length_s = _length_s(container, stream)
    except ConfigError as error:
        yield listing_reject(entry.uri, NO_DECODER, str(error))
        return
    except (OSError, ValueError, CorpusError) as error:
        text = f"{entry.uri} is not a video that can be read: {one_line(error)}"
        yield listing_reject(entry.uri, "bad_video", text)
        return
    times = (number * every_s for number in range(int(max(length_s - 1e-6, 0) / every_s) + 1))
    for time_s in times:
        meta = {**(entry.meta or {}), "video": entry.uri, "time_s": round(time_s, 3)}
        yield CorpusImage(uri=entry.uri, inner=frame_at_time(time_s), meta=meta)


def read_frame(entry: CorpusImage) -> bytes:
    """Read a frame as PNG. Raises InputReject (stage `fetch`)."""
    time_s = time_of_frame(entry.inner)
    if time_s is None:
        raise InputReject(RejectStage.FETCH, "no_such_frame", f"{entry.name} names no frame")
    try:
        with _open_video(entry.uri) as (container, stream):
            image = _frame_at(container, stream, time_s)
    except (OSError, ValueError, CorpusError) as error:
        raise InputReject(RejectStage.FETCH, "bad_video", f"{entry.name}: {one_line(error)}") from error
    if image is None:
        raise InputReject(
            RejectStage.FETCH, "no_such_frame", f"{entry.name}: the video ends before this time"
        )
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


@contextmanager
def _open_video(address: str) -> Iterator[tuple[Any, Any]]:
    """The video's container and its first video stream, decoded in one thread."""
    try:
        import av
    except ImportError:
        raise ConfigError(
            f"{address} is a video and PyAV is not installed: install fo1-data[video]"
        ) from None
    options = {"format_whitelist": _CONTAINERS}
    with open_seekable(address) as file, av.open(file, options=options) as container:
        if not container.streams.video:
            raise ValueError("it has no video stream")
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        yield container, stream


def _length_s(container: Any, stream: Any) -> float:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None:
        return float(container.duration) / 1e6
    last = 0.0
    for packet in container.demux(stream):
        if packet.pts is not None:
            last = max(last, float(packet.pts * stream.time_base))
    return last


def _frame_at(container: Any, stream: Any, time_s: float) -> Any:
    """The first frame at `time_s` or after it as a PIL image; the last frame if none follows."""
    start = float((stream.start_time or 0) * stream.time_base)
    if time_s > 0:
        container.seek(int((start + time_s) / stream.time_base), stream=stream, backward=True)
    last = None
    for frame in container.decode(stream):
        last = frame
        if frame.time is not None and frame.time - start >= time_s - 1e-4:
            break
    if last is None:
        return None
    image = last.to_image()
    rotation = getattr(last, "rotation", 0) or 0
    return image.rotate(rotation, expand=True) if rotation else image
