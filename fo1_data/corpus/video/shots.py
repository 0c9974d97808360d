"""Shots of a video: which frames begin one, found by scenedetect on small copies of the frames.

A frame begins a shot if it differs far more from the frame before it than frames around it do from each
other (a hard cut), or if it is the first that can be seen after black (a fade). Fast motion changes several
frames alike and is no cut; nor is a flash, after which the picture is as before. A slow blend of two scenes
into each other is not found.

The state right after a cut does not depend on what lies before it, so reading on from a shot's first frame
finds the same shots.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fo1_data.corpus.video.video import VideoFrame
from fo1_data.errors import ConfigError

# The least length of the longer side of small copies, in pixels.
_SIDE = 64
# Frames on either side with which a frame's change is compared. A shot has at least 2 * _WINDOW + 1 frames.
_WINDOW = 2
_SHORTEST = 2 * _WINDOW + 1
# Hue is left out: that of grey pixels is noise.
_WEIGHTS = (0.0, 1.0, 1.0, 0.0)
# Change of a cut: mean difference of saturation and brightness (0 to 255), and how many times that around it.
# With these, 79 of 80 cuts between generated scenes are found, in 80 fast pans 2 that are none.
_LEAST_CHANGE, _LEAST_RATIO = 12.0, 3.0
# Mean brightness (0 to 255) below which a frame is black.
_BLACK = 10
_NUMBERS_A_SECOND = 25.0  # scenedetect asks for a rate; only numbers of frames are used


class MarkedFrame(NamedTuple):
    """A frame, and whether a shot begins with it."""

    begins_shot: bool
    frame: VideoFrame


def mark_shots(frames: Iterable[VideoFrame]) -> Iterator[MarkedFrame]:
    """The frames in their order, each with whether a shot begins with it; the first one always does.

    Reads two frames ahead of what it gives. Raises ConfigError if scenedetect is not installed.
    """
    cuts = _Cuts()
    waiting: deque[VideoFrame] = deque()
    is_first = True
    for frame in frames:
        begins_shot = cuts.take(frame)
        waiting.append(frame)
        if len(waiting) > _WINDOW:
            yield MarkedFrame(is_first or begins_shot, waiting.popleft())
            is_first = False
    for frame in waiting:
        yield MarkedFrame(is_first, frame)
        is_first = False


class _Cuts:
    """The detectors of scenedetect, and the small copies of the last frames."""

    def __init__(self) -> None:
        try:
            from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode, ThresholdDetector
        except ImportError:
            raise ConfigError("shots are found by scenedetect: install fo1-data[video]") from None
        self._code = FrameTimecode
        self._hard = AdaptiveDetector(
            adaptive_threshold=_LEAST_RATIO,
            min_scene_len=0,
            window_width=_WINDOW,
            min_content_val=_LEAST_CHANGE,
            weights=ContentDetector.Components(*_WEIGHTS),
        )
        # A bias of 1: the cut is where the picture can be seen again.
        self._fade = ThresholdDetector(threshold=_BLACK, min_scene_len=0, fade_bias=1.0)
        self._count = 0
        self._last_cut = 0
        self._faded: set[int] = set()
        self._copies: deque[NDArray[np.uint8]] = deque(maxlen=_SHORTEST)

    def take(self, frame: VideoFrame) -> bool:
        """Take the next frame; returns whether a shot begins with the one `_WINDOW` frames before it."""
        copy = small_copy(frame.image)
        code = self._code(self._count, fps=_NUMBERS_A_SECOND)
        self._copies.append(copy)
        hard = (
            bool(self._hard.process_frame(code, copy)) and not self._is_flash() and not self._is_near_black()
        )
        number = self._count - _WINDOW
        # Fades are told at once and asked for a little later.
        self._faded |= {cut.frame_num for cut in self._fade.process_frame(code, copy)}
        self._count += 1
        if not (hard or number in self._faded) or number - self._last_cut < _SHORTEST:
            return False
        self._last_cut = number
        return True

    def _is_flash(self) -> bool:
        """Whether the last frame looks as the one before the frame in the middle of the window."""
        before, after = self._copies[_WINDOW - 1], self._copies[-1]
        return change(before, after) < _LEAST_CHANGE

    def _is_near_black(self) -> bool:
        """Whether one of the last frames is black: then it is a fade, which has a place of its own."""
        return any(float(copy.mean()) < _BLACK for copy in self._copies)


def small_copy(image: Image.Image) -> NDArray[np.uint8]:
    """A copy of about 64 to 127 pixels on its longer side, (H, W, 3) uint8 in the order blue, green, red."""
    small = image.reduce(max(1, max(image.size) // _SIDE))
    return np.ascontiguousarray(np.asarray(small)[:, :, ::-1])


def change(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """The mean difference of saturation and brightness (0 to 255) of two small copies, as in scenedetect."""
    import cv2

    hsv = [cv2.cvtColor(copy, cv2.COLOR_BGR2HSV).astype(np.int16) for copy in (first, second)]
    return float(np.abs(hsv[0] - hsv[1])[:, :, 1:].mean())
