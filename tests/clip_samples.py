"""Clips whose frames show their number, made by PyAV, and changes to the boxes of an MP4 file."""

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT = 96, 64
_BITS, _SIDE = 12, 16


def numbered_picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """A grey picture, (height, width, 3), whose upper left corner shows the number in black and white fields.

    The field after the last bit, in the first row, is red: it tells which way up the picture is.
    """
    pixels = np.full((height, width, 3), 128, np.uint8)
    for bit in range(_BITS):
        y, x = divmod(bit, 4)
        pixels[_SIDE * y :, _SIDE * x :][:_SIDE, :_SIDE] = 235 if number >> bit & 1 else 20
    pixels[:_SIDE, 4 * _SIDE : 5 * _SIDE] = (230, 20, 20)
    return pixels


def number_shown(image: Image.Image) -> int:
    """The number in an upright picture of `numbered_picture`, as far as it can be read."""
    pixels = np.asarray(image).astype(int)
    number = 0
    for bit in range(_BITS):
        y, x = (_SIDE * part + _SIDE // 2 for part in divmod(bit, 4))
        number |= int(pixels[y - 3 : y + 3, x - 3 : x + 3].mean() > 128) << bit
    red = pixels[4:12, 4 * _SIDE + 4 : 5 * _SIDE - 4].mean(axis=(0, 1))
    assert red[0] > red[1] + 60, "the picture is not upright"
    return number


def write_clip(
    path: Path,
    num_frames: int = 30,
    codec: str = "libx264",
    rate: Fraction | int = 10,
    timestamps: Sequence[int] | None = None,
    tick_s: Fraction | None = None,
    options: dict[str, str] | None = None,
    turn: tuple[float, bool, bool] | None = None,
    container_options: dict[str, str] | None = None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    pixel_format: str = "yuv420p",
) -> Path:
    """A clip whose n-th frame shows n. timestamps: in ticks, one a frame. turn: degrees and two mirrors."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pixel_format
        if tick_s is not None:
            stream.codec_context.time_base = tick_s
        if turn is not None:
            stream.set_display_rotation(turn[0], hflip=turn[1], vflip=turn[2])
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number, *size), "rgb24")
            frame.pts = number if timestamps is None else timestamps[number]
            frame.time_base = tick_s or 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def x264(gop: int, b_frames: int, open_gop: bool = False, more: str = "") -> dict[str, str]:
    """Options of libx264 that fix where key pictures and B-frames lie."""
    text = f"keyint={gop}:min-keyint={gop}:bframes={b_frames}:open-gop={int(open_gop)}:scenecut=0:b-adapt=0"
    return {"x264-params": text + more}


def without_first_packets(source: Path, target: Path, is_first: Any) -> Path:
    """A copy of a clip without encoding that begins at the first packet for which `is_first` holds."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        begun = False
        for packet in old.demux(stream):
            begun = begun or is_first(packet)
            if packet.size and begun:
                packet.stream = copy
                new.mux(packet)
    return target


def set_edits(path: Path, edits: Sequence[tuple[int, int]]) -> None:
    """Give the first track of an MP4 file an edit list, of (length in ticks of the movie, first media tick).

    A first media tick of -1 shows nothing for that long. The file must have its `moov` box at its end.
    """
    body = struct.pack(">II", 0, len(edits))
    body += b"".join(struct.pack(">IiHH", length, first, 1, 0) for length, first in edits)
    edts = _box(b"edts", _box(b"elst", body))
    boxes = dict(_boxes(path.read_bytes()))
    moov = [(kind, content) for kind, content in _boxes(boxes[b"moov"])]
    moov = [(kind, _with_edits(content, edts) if kind == b"trak" else content) for kind, content in moov]
    boxes[b"moov"] = b"".join(_box(kind, content) for kind, content in moov)
    assert next(reversed(boxes)) == b"moov"
    path.write_bytes(b"".join(_box(kind, content) for kind, content in boxes.items()))


def _with_edits(trak: bytes, edts: bytes) -> bytes:
    parts = [_box(kind, content) for kind, content in _boxes(trak) if kind != b"edts"]
    return parts[0] + edts + b"".join(parts[1:])


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        yield kind, data[at + 8 : at + length]
        at += length


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content
