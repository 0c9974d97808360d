"""Windows of grey medical images: which values are shown from black to white.

`center` and `width` are in modality units: Hounsfield units for CT. The presets are those that radiologists
use for CT (Radiopaedia, "Windowing (CT)"), so they mean nothing for any other kind of image.
"""

import re
from typing import NamedTuple


class DicomWindow(NamedTuple):
    """A window in modality units; `preset`: its name, if it was asked for by name."""

    center: float
    width: float
    preset: str | None = None


PRESETS = {
    "abdomen": (50.0, 400.0),
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
    "liver": (30.0, 150.0),
    "lung": (-600.0, 1500.0),
    "mediastinum": (50.0, 350.0),
    "spine": (50.0, 250.0),
    "stroke": (40.0, 40.0),
    "subdural": (75.0, 215.0),
}
_NUMBERS = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*")


def parse_window(text: str) -> DicomWindow:
    """The window of `CENTER/WIDTH` (`-600/1500`) or of a preset's name. Raises ValueError for other text."""
    name = text.strip().lower()
    if name in PRESETS:
        return DicomWindow(*PRESETS[name], preset=name)
    match = _NUMBERS.fullmatch(text)
    if match is None:
        raise ValueError(
            f"window {text!r} is neither CENTER/WIDTH, such as 40/400, nor one of {', '.join(PRESETS)}"
        )
    window = DicomWindow(float(match[1]), float(match[2]))
    if window.width < 1:
        raise ValueError(f"window {text!r}: the width must be at least 1")
    return window
