"""Writes H.264 in an MP4 file at a constant rate, which browsers play: yuv420p, its index at the front."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fo1_data.corpus.video.streams import require_decoder


class H264File:
    """An open file; frames are added in the order in which they are shown, each for one frame's time."""

    def __init__(self, container: Any, stream: Any, rate: Fraction) -> None:
        self._container = container
        self._stream = stream
        self._rate = rate
        self.num_frames = 0

    def add(self, image: Image.Image) -> None:
        """Add an RGB image of the file's size."""
        import av

        frame = av.VideoFrame.from_ndarray(np.asarray(image), "rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = self.num_frames, 1 / self._rate
        self._container.mux(self._stream.encode(frame))
        self.num_frames += 1


@contextmanager
def h264_file(
    path: Path, size: tuple[int, int], rate: Fraction, crf: int, keyframe_every: int
) -> Iterator[H264File]:
    """Write an MP4 file. size: width and height in pixels, both even. rate: frames a second.

    crf: x264's quality, 0 the best, 51 the worst. keyframe_every: at most so many frames lie between two
    pictures at which playing can begin. The same frames give the same bytes. Raises ConfigError without PyAV,
    ValueError if a side is odd.
    """
    require_decoder(str(path))
    import av

    if size[0] % 2 or size[1] % 2:
        raise ValueError(f"{size[0]}x{size[1]} px: sides of H.264 in yuv420p are even")
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
        stream: Any = container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.gop_size = keyframe_every
        file = H264File(container, stream, rate)
        yield file
        container.mux(stream.encode())
