"""The files of a training run besides its checkpoint: settings, losses, and the state to resume from."""

import json
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fo1_data.errors import CheckpointError, ConfigError
from fo1_data.training.events import SampleFigures
from fo1_data.training.layout import SETTINGS
from fo1_data.training.settings import Stage, TrainConfig

# Settings that a resumed run may change: its length and pace, and what does not change a step's result.
_CHANGEABLE = frozenset(
    ("steps", "epochs", "learning_rate", "warmup_steps", "decay_share", "save_every", "threads", "device",
     "accumulation", "gradient_checkpointing", "sharding", "validate_every", "measured_images", "patience",
     "loggers", "find_learning_rate", "feature_cache_gib", "keep_apart")
)  # fmt: skip


def write_settings(folder: Path, stage: Stage, config: TrainConfig, resumes: bool) -> None:
    """Write the settings of a run. Raises ConfigError if a run that `resumes` had other ones before."""
    path = folder / SETTINGS
    settings: dict[str, Any] = {"stage": stage, **config.model_dump(mode="json")}
    if resumes and path.is_file():
        for name, before in json.loads(path.read_text("utf-8")).items():
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
    try:
        settings: dict[str, Any] = json.loads((folder / SETTINGS).read_text("utf-8"))
    except (OSError, ValueError):
        raise CheckpointError(
            f"{folder}: no readable {SETTINGS}: it is not a folder of `fo1 train`"
        ) from None
    return settings


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write the state to resume from; the file appears whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    torch.save(state, partial)
    partial.replace(path)


def load_state(path: Path) -> dict[str, Any] | None:
    """The state to resume from; None if there is none. Raises CheckpointError if it is damaged."""
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} is damaged ({reason}): delete it to start again") from None
    return state


class RunLog:
    """The log of a run: JSON lines, one a step with its `loss`, one a measurement with `validation` and
    `training`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, document: Mapping[str, Any]) -> None:
        """Add a line."""
        with self._path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(document) + "\n")

    def truncate(self, step: int) -> None:
        """Remove the lines after `step`; a resumed run does those steps again."""
        if self._path.is_file():
            kept = [line for line in self._path.read_text("utf-8").splitlines() if _step_of(line) <= step]
            self._path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def validations(self) -> list[tuple[int, SampleFigures]]:
        """The validations that the log holds with their steps, in order."""
        if not self._path.is_file():
            return []
        documents = [json.loads(line) for line in self._path.read_text("utf-8").splitlines()]
        return [
            (document["step"], SampleFigures(**document["validation"]))
            for document in documents
            if "validation" in document
        ]


def _step_of(line: str) -> float:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf  # an incomplete line
