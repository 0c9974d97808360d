"""How a frame of a file is named within it: by its time in a video, by its number in a DICOM file."""

import re

_TIME = re.compile(r"frame@(\d+\.\d{3})s")
_NUMBER = re.compile(r"frame@([1-9]\d*)")


def frame_at_time(time_s: float) -> str:
    """The name of the frame at a time of a video, in seconds."""
    return f"frame@{time_s:.3f}s"


def frame_of_number(number: int) -> str:
    """The name of a frame of a DICOM file; the first is 1."""
    return f"frame@{number}"


def time_of_frame(inner: str | None) -> float | None:
    """The time in seconds that a name says; None if it is no frame of a video."""
    match = _TIME.fullmatch(inner or "")
    return float(match[1]) if match else None


def number_of_frame(inner: str | None) -> int | None:
    """The number that a name says; None if it is no frame of a DICOM file."""
    match = _NUMBER.fullmatch(inner or "")
    return int(match[1]) if match else None


def is_frame(inner: str) -> bool:
    """Whether a name is that of a frame of a video or of a DICOM file."""
    return time_of_frame(inner) is not None or number_of_frame(inner) is not None
