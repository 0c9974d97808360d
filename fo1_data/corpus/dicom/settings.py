"""What a run decides about DICOM files."""

from dataclasses import dataclass

from schemas.dicom_windows import DicomWindow, parse_window
from schemas.jobs import RunConfig


@dataclass(frozen=True)
class DicomSettings:
    """The settings of a run for DICOM files; `window` None: that of each file. See `RunConfig`."""

    window: DicomWindow | None = None
    allow_burned_in_text: bool = False
    keep_paths: bool = False
    max_frames: int = 2000


def dicom_settings(config: RunConfig) -> DicomSettings:
    """The settings of a run that DICOM files depend on."""
    return DicomSettings(
        window=parse_window(config.window) if config.window is not None else None,
        allow_burned_in_text=config.allow_burned_in_text,
        keep_paths=config.keep_dicom_paths,
        max_frames=config.dicom_max_frames,
    )
