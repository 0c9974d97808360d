"""The index of a video file: which frames it shows and when, found by one pass over the file.

Containers that give every packet the time at which its frame is shown are read and not decoded; others are
decoded once. A file that ends too early has the frames until there, and a fault that says so.
"""

from array import array
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import pyarrow as pa
from PIL import Image

from fo1_data.corpus.video.frame_times import FrameTimes
from fo1_data.corpus.video.streams import VideoStream, bad_video, open_stream, turn_of

# Codecs with one packet for each frame that is shown.
_ONE_PACKET_CODECS = {"h264", "hevc", "av1", "vp9", "mjpeg", "prores", "dnxhd", "png", "ffv1", "rawvideo"}
# A declared length that is longer than the frames by more than this is of a file that was cut short.
_LENGTH_SLACK_S = 0.5
_SIDEWAYS = (
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
)
_GUESSED_RATE = Fraction(25)


@dataclass(frozen=True)
class FrameIndex:
    """What one pass over a file says.

    stored_wh: width and height of the first frame before it is turned. turn: None if it is shown as stored.
    is_by_order: only their order tells the frames apart, because timestamps repeat or differ after a leap.
    """

    times: FrameTimes
    stored_wh: tuple[int, int]
    turn: Image.Transpose | None
    is_by_order: bool
    fault: str | None

    @property
    def shown_wh(self) -> tuple[int, int]:
        """Width and height of a frame as it is shown."""
        width, height = self.stored_wh
        return (height, width) if self.turn in _SIDEWAYS else (width, height)


def index_file(address: str, held: list[pa.Buffer] | None = None) -> FrameIndex:
    """Index a video file. held: as of `open_stream`, whose errors it raises; InputReject without a frame."""
    with open_stream(address, held) as video:
        first = next(video.pictures(), None)
        if first is None:
            raise bad_video(address, "not one frame can be decoded")
        timestamp, picture = first
        stored_wh, turn = (picture.width, picture.height), turn_of(picture)
        found = _read_packets(video, timestamp) if _packets_tell(video) else None
        times, is_cut, is_by_order = found or _decode_all(video)
    fault = f"the file is cut short or damaged after {times.duration_s:.3f} s" if is_cut else None
    return FrameIndex(times, stored_wh, turn, is_by_order, fault)


class _Found(NamedTuple):
    times: FrameTimes
    is_cut: bool
    is_by_order: bool


def _read_packets(video: VideoStream, first_shown: int) -> _Found | None:
    """The frames by their packets; None if the packets do not tell.

    first_shown: the timestamp of the first frame that a decoder gives; the frames before it are not shown.
    """
    import av

    stamps = array("q")
    last, last_ticks, num_packets, is_cut = first_shown, None, 0, False
    video.restart()
    try:
        for packet in video.container.demux(video.stream):
            if packet.size == 0:
                continue
            if packet.pts is None:
                return None
            num_packets += 1
            if packet.is_corrupt:
                is_cut = True
            elif not packet.is_discard and packet.pts >= first_shown:
                stamps.append(packet.pts)
                if packet.pts >= last:
                    last, last_ticks = packet.pts, packet.duration
    except av.FFmpegError:
        is_cut = True
    if first_shown not in stamps:
        return None
    times = FrameTimes(stamps, video.tick_s, last_ticks)
    return _Found(times, is_cut or _ends_early(video, num_packets, times), False)


def _decode_all(video: VideoStream) -> _Found:
    """The frames as a decoder gives them; at the declared rate if their timestamps do not ascend."""
    stamps, last_ticks = array("q"), None
    video.restart()
    for timestamp, picture in video.pictures():
        stamps.append(timestamp)
        last_ticks = picture.duration
    is_cut = video.is_broken or 0 < len(stamps) + video.num_faults < video.stream.frames
    if all(earlier < later for earlier, later in pairwise(stamps)):
        return _Found(FrameTimes(stamps, video.tick_s, last_ticks), is_cut, video.format == "mpeg")
    rate = Fraction(video.stream.average_rate or _GUESSED_RATE)
    return _Found(FrameTimes(range(len(stamps)), 1 / rate, 1), is_cut, True)


def _packets_tell(video: VideoStream) -> bool:
    codec = video.stream.codec_context.codec.canonical_name
    return video.is_timed and codec in _ONE_PACKET_CODECS


def _ends_early(video: VideoStream, num_packets: int, times: FrameTimes) -> bool:
    """Whether the container declares more than was read."""
    if video.format == "mov":
        return num_packets < len(video.stream.index_entries)
    if len(video.container.streams) > 1 or video.container.duration is None:
        return False  # another stream may be the longer one
    end_s = float(times.timestamp_of(0) * video.tick_s) + times.duration_s
    return float(video.container.duration) / 1e6 > end_s + _LENGTH_SLACK_S
