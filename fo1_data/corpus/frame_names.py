"""How a frame of a file is named within it.

A frame of a DICOM file by its number (`frame@3`, from 1). A frame of a video by its number from 0 and its
time (`frame@n12@0.480000s`), which name exactly one; a frame that is read at even times by that time alone
(`frame@12.500s`), which means the first frame at that time or after it. Times are in seconds from the first
frame that is shown.
"""

import re

_TIME = re.compile(r"frame@(\d+\.\d{3})s")
_EXACT = re.compile(r"frame@n(\d+)@(\d+\.\d{6})s")
_NUMBER = re.compile(r"frame@([1-9]\d*)")


def frame_at_time(time_s: float) -> str:
    """The name of the frame at a time of a video, in seconds."""
    return f"frame@{time_s:.3f}s"


def frame_of_video(number: int, time_s: float) -> str:
    """The name of exactly one frame of a video: its number, from 0, and its time in seconds."""
    return f"frame@n{number}@{time_s:.6f}s"


def frame_of_number(number: int) -> str:
    """The name of a frame of a DICOM file; the first is 1."""
    return f"frame@{number}"


def time_of_frame(inner: str | None) -> float | None:
    """The time in seconds that a name says; None if it is no frame of a video."""
    if (match := _EXACT.fullmatch(inner or "")) is not None:
        return float(match[2])
    match = _TIME.fullmatch(inner or "")
    return float(match[1]) if match else None


def number_of_video_frame(inner: str | None) -> int | None:
    """The number that a name of exactly one frame of a video says; None if it is another name."""
    match = _EXACT.fullmatch(inner or "")
    return int(match[1]) if match else None


def number_of_frame(inner: str | None) -> int | None:
    """The number that a name says; None if it is no frame of a DICOM file."""
    match = _NUMBER.fullmatch(inner or "")
    return int(match[1]) if match else None


def is_frame(inner: str) -> bool:
    """Whether a name is that of a frame of a video or of a DICOM file."""
    return time_of_frame(inner) is not None or number_of_frame(inner) is not None
