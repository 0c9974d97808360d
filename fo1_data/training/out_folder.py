"""Whether a training run may begin in a folder. Imports no torch: commands ask before they load anything."""

from pathlib import Path

from fo1_data.errors import ConfigError
from fo1_data.training.layout import LOGGERS, LOSSES, RAY, SETTINGS, STATE, TENSORBOARD

# What a run that was killed before its first state may have left.
_BEGUN = (STATE, SETTINGS, f"{SETTINGS}.partial", LOSSES, LOGGERS, TENSORBOARD, RAY)


def refuse_other_folder(folder: Path) -> None:
    """Raise ConfigError if a run can neither begin nor resume in a folder, as in one that holds a dataset."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out {folder} is a file: name a folder")
    if not folder.is_dir() or any((folder / name).exists() for name in _BEGUN):
        return
    if any(folder.iterdir()):
        raise ConfigError(
            f"--out {folder} is not empty, and holds no run to resume ({STATE}): name a new folder"
        )
