"""The video stream of a file, decoded by PyAV: pictures with their timestamps, from any place on.

Only containers are opened: FFmpeg would also follow playlists, to addresses named by an untrusted file.
Frames that an edit list leaves out, and frames at the start that need one that is not in the file, do not
come out of the decoder and are not shown. Timestamps are those of the file, in ticks of the stream.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from fo1_data.errors import ConfigError, CorpusError, InputReject, one_line
from fo1_data.storage.addresses import is_web
from fo1_data.storage.streams import open_seekable
from schemas.images import RejectStage

_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpeg,mpegvideo,mpegts"
_TIMED = ("mov", "matroska")
_PICTURE_TYPE_I = 1
_FIRST_STEP_S = 1.0

# How a picture is turned, by the signs of (a, b, c, d) of the display matrix: x' = ax + cy, y' = bx + dy.
_TURNS = {
    (1, 0, 0, 1): None,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
}


def bad_video(address: str, error: BaseException | str) -> InputReject:
    """The reject of a video that cannot be read."""
    text = error if isinstance(error, str) else getattr(error, "strerror", None) or one_line(error)
    return InputReject(RejectStage.FETCH, "bad_video", f"{address} is not a video that can be read: {text}")


def no_such_frame(message: str) -> InputReject:
    """The reject of a frame that a video does not have."""
    return InputReject(RejectStage.FETCH, "no_such_frame", message)


class VideoStream:
    """The first video stream of an open file, decoded in one thread.

    num_faults: packets that could not be decoded so far. is_broken: the file could not be read to its end.
    Raises ValueError or an error of PyAV if there is none.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.container: Any = None
        self.restart()

    def restart(self) -> None:
        """Go back to the start, with a decoder that has seen nothing."""
        import av

        self.close()
        self._file.seek(0)
        self.container = av.open(self._file, options={"format_whitelist": _CONTAINERS})
        if not self.container.streams.video:
            raise ValueError("it has no video stream")
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = "NONE"
        self.num_faults = 0
        self.is_broken = False

    def close(self) -> None:
        """Close the container; the file stays open."""
        if self.container is not None:
            self.container.close()

    @property
    def format(self) -> str:
        """The container's kind: `mov` (also MP4), `matroska` (also WebM), `avi`, `mpeg`, `mpegts`."""
        return str(self.container.format.name).partition(",")[0]

    @property
    def is_timed(self) -> bool:
        """Whether every packet has a time of its own, which is the same after a leap."""
        return self.format in _TIMED

    @property
    def tick_s(self) -> Fraction:
        return Fraction(self.stream.time_base)

    def pictures(self) -> Iterator[tuple[int, Any]]:
        """Timestamp and decoded picture, from the place where the stream stands, in the order shown.

        Ends early where the file is broken.
        """
        import av

        try:
            for packet in self.container.demux(self.stream):
                try:
                    decoded = packet.decode()
                except av.FFmpegError:
                    self.num_faults += 1
                    continue
                for picture in decoded:
                    timestamp = picture.pts if picture.pts is not None else picture.dts
                    if timestamp is not None:
                        yield timestamp, picture
        except av.FFmpegError:
            self.is_broken = True

    def pictures_from(self, timestamp: int) -> Iterator[tuple[int, Any]]:
        """Pictures from a place at or before `timestamp` on, each as decoding from the start gives it.

        A decoder that begins at a key picture gives it and all that are shown after it exactly. Those that
        are shown before it (open GOP), and all after a place without a whole key picture (intra refresh), it
        does not: then a place further ahead is tried, at last the start.
        """
        import av

        step = max(int(_FIRST_STEP_S / self.tick_s), 1)
        place = timestamp
        while place > (self.stream.start_time or 0):
            try:
                self.container.seek(place, stream=self.stream, backward=True)
            except av.FFmpegError:
                break
            pictures = self.pictures()
            for at, picture in pictures:
                if at > timestamp:
                    break
                if picture.key_frame and picture.pict_type == _PICTURE_TYPE_I:
                    return _from(at, picture, pictures)
            place -= step
            step *= 4
        self.restart()
        return self.pictures()


def _from(at: int, picture: Any, rest: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    yield at, picture
    yield from ((later, other) for later, other in rest if later > at)


def require_decoder(address: str) -> None:
    """Raise ConfigError if PyAV is not installed."""
    try:
        import av  # noqa: F401
    except ImportError:
        raise ConfigError(
            f"{address} is a video and PyAV is not installed: install fo1-data[video]"
        ) from None


@contextmanager
def open_stream(address: str, held: list[pa.Buffer] | None = None) -> Iterator[VideoStream]:
    """Open the video stream of a file.

    held: where a file of the web, which is loaded whole, is kept for the next time; empty before the first.

    Raises ConfigError without PyAV, InputReject (stage `fetch`) if the file is no video that can be read,
    also for faults of reading while it is open.
    """
    require_decoder(address)
    import av

    try:
        with _open_file(address, held) as file:
            video = VideoStream(file)
            with closing(video):
                yield video
    except (OSError, ValueError, CorpusError, av.FFmpegError) as error:
        raise bad_video(address, error) from error


def _open_file(address: str, held: list[pa.Buffer] | None) -> pa.NativeFile:
    if held:
        return pa.BufferReader(held[0])
    file = open_seekable(address)
    if held is None or not is_web(address):
        return file
    held.append(file.read_buffer())
    return pa.BufferReader(held[0])


def turn_of(picture: Any) -> Image.Transpose | None:
    """How the container says that a decoded picture is turned before it is shown, to a quarter."""
    data = picture.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].astype(float)
    if abs(a) + abs(d) < abs(b) + abs(c):
        a = d = 0.0
    else:
        b = c = 0.0
    return _TURNS.get((int(np.sign(a)), int(np.sign(b)), int(np.sign(c)), int(np.sign(d))))


def upright(picture: Any, size: tuple[int, int] | None, turn: Image.Transpose | None) -> Image.Image:
    """A decoded picture as an RGB image, scaled to `size` (stored width, height) and then turned."""
    width, height = size or (picture.width, picture.height)
    image: Image.Image = picture.to_image(width=width, height=height)
    return image if turn is None else image.transpose(turn)
