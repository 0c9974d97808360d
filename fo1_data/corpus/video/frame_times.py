"""The clock of a video: which number and which time a frame has, from the timestamps of its file.

This is the only place that turns timestamps into times. Holds 8 bytes a frame.
"""

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

# A rounded clock: its ticks are at least this many to a frame of a constant rate.
_TICKS = 3
# Reading a time back from floating point may lose this much, in seconds.
_SLACK_S = 1e-7


class FrameTimes:
    """The frames of a video in the order in which they are shown.

    timestamps: int64, ascending, one for each frame that is shown, in ticks.
    tick_s: the length of a tick, in seconds.
    last_ticks: how long the last frame is shown; None if the file does not say.
    """

    def __init__(self, timestamps: Sequence[int], tick_s: Fraction, last_ticks: int | None = None) -> None:
        self._ticks: NDArray[np.int64] = np.unique(np.asarray(timestamps, np.int64))
        self._tick_s = tick_s
        gaps = np.diff(self._ticks)
        self._last_ticks = last_ticks or (int(np.median(gaps)) if len(gaps) else 0)

    def __len__(self) -> int:
        return len(self._ticks)

    def timestamp_of(self, number: int) -> int:
        """The timestamp of a frame, in ticks of the file. Raises IndexError outside the video."""
        if not 0 <= number < len(self._ticks):
            raise IndexError(number)
        return int(self._ticks[number])

    def number_of(self, timestamp: int) -> int | None:
        """The number of the frame with exactly this timestamp; None if no frame that is shown has it."""
        number = int(np.searchsorted(self._ticks, timestamp))
        return number if number < len(self._ticks) and self._ticks[number] == timestamp else None

    def time_of(self, number: int) -> float:
        """When the frame is shown, in seconds from the first. Raises IndexError outside the video."""
        return time_of_timestamp(self.timestamp_of(number), self.timestamp_of(0), self._tick_s)

    def number_at(self, time_s: float) -> int:
        """The last frame that is shown at `time_s` or before it; the first if there is none."""
        first = self.timestamp_of(0)
        ticks = int((Fraction(time_s) + Fraction(_SLACK_S)) / self._tick_s) if time_s > 0 else 0
        return max(bisect_right(self._ticks, first + ticks) - 1, 0)

    @property
    def duration_s(self) -> float:
        """Until the last frame ends. A lone frame without a declared length lasts 0 s."""
        length = int(self._ticks[-1]) - int(self._ticks[0]) + self._last_ticks
        return float(length * self._tick_s)

    @property
    def fps(self) -> float:
        """Frames divided by duration; 0 for a lone frame without a declared length."""
        return len(self) / self.duration_s if self.duration_s > 0 else 0.0

    @property
    def is_constant(self) -> bool:
        """Whether no frame is a tick or more away from its place at a constant rate."""
        if len(self) < 3:
            return True
        even = np.linspace(int(self._ticks[0]), int(self._ticks[-1]), len(self))
        is_rounded = even[1] - even[0] >= _TICKS
        return bool(np.abs(self._ticks - even).max() <= (1.0 if is_rounded else 0.0))


def time_of_timestamp(timestamp: int, first: int, tick_s: Fraction) -> float:
    """When a frame is shown, in seconds from the first frame that is shown."""
    return float((timestamp - first) * tick_s)
