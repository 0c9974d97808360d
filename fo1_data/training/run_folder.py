"""The files of a training run besides its checkpoint: settings and the state to resume from."""

import json
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fo1_data.errors import CheckpointError, ConfigError, StorageError, first_line
from fo1_data.storage.json_text import parse_object
from fo1_data.training.layout import SETTINGS, STATE
from fo1_data.training.settings import Stage, TrainConfig

# Settings that a resumed run may change: its length and pace, and what does not change a step's result.
_CHANGEABLE = frozenset(
    ("steps", "epochs", "learning_rate", "warmup_steps", "decay_share", "save_every", "threads", "device",
     "accumulation", "gradient_checkpointing", "sharding", "validate_every", "measured_images", "patience",
     "loggers", "find_learning_rate", "feature_cache_gib", "keep_apart")
)  # fmt: skip


def write_settings(
    folder: Path, stage: Stage, config: TrainConfig, resumes: bool, validation: Sequence[str] = ()
) -> None:
    """Write the settings of a run. Raises ConfigError if a run that `resumes` had other ones before.

    `validation`: the addresses that it is validated on, if they are named. Raises CheckpointError if the
    settings of the resumed run are damaged.
    """
    path = folder / SETTINGS
    settings: dict[str, Any] = {
        "stage": stage,
        "validation": list(validation),
        **config.model_dump(mode="json"),
    }
    if resumes and path.is_file():
        for name, before in load_settings(folder).items():
            if name in settings and name not in _CHANGEABLE and settings[name] != before:
                old, new = json.dumps(before), json.dumps(settings[name])
                raise ConfigError(
                    f"{folder} was started with {name} {old}, not {new}: use the same, or another --out"
                )
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def load_settings(folder: Path) -> dict[str, Any]:
    """The settings of the run in a folder, with its stage. Raises CheckpointError if there are none."""
    path = folder / SETTINGS
    try:
        return parse_object(path.read_text("utf-8"))
    except OSError:
        raise CheckpointError(
            f"{folder} has no {SETTINGS}, so its learning rate is not known: give the learning_rate that it "
            f"had (--config), or delete {STATE} there to start again"
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}): delete it and run again") from None


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write the state to resume from; the file appears whole or not at all.

    Raises StorageError if it cannot be written, as on a full disk.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        torch.save(state, partial)
    except RuntimeError as error:  # torch's own writer
        partial.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written ({first_line(error)}): is the disk full?") from None
    partial.replace(path)


def load_state(path: Path) -> dict[str, Any] | None:
    """The state to resume from; None if there is none. Raises CheckpointError if it is damaged."""
    if not path.is_file():
        return None
    try:
        _check_archive(path)
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({first_line(error)}): delete it to start again") from None
    return state


def _check_archive(path: Path) -> None:
    """Raise ValueError if a byte of an archive of torch has changed: torch reads it without a look.

    torch stores files as they are. For one that is marked as a folder it would give memory of any content.
    """
    with zipfile.ZipFile(path) as archive:
        for file in archive.infolist():
            if file.external_attr or file.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{file.filename} is not listed as it was written")
        if (name := archive.testzip()) is not None:
            raise ValueError(f"{name} is not what was written")
