"""What a training run keeps in its folder beside the checkpoint: settings, losses, the state to resume."""

import json
import math
import pickle
from pathlib import Path
from typing import Any

import torch

from fo1_data.errors import CheckpointError, ConfigError
from fo1_data.training.settings import Stage, TrainConfig

LOSSES = "losses.jsonl"
SETTINGS = "training.json"
STATE = "training.pt"
# What may be changed when a run goes on: how far and how fast, and what makes no other step.
_FREE = frozenset(
    ("steps", "learning_rate", "warmup_steps", "decay_share", "save_every", "threads", "device",
     "accumulation", "gradient_checkpointing", "sharding")
)  # fmt: skip


def keep_settings(folder: Path, stage: Stage, config: TrainConfig, goes_on: bool) -> None:
    """Write down how a run trains. ConfigError where one that `goes_on` trained otherwise so far."""
    path = folder / SETTINGS
    told: dict[str, Any] = {"stage": stage, **config.model_dump(mode="json")}
    if goes_on and path.is_file():
        for name, before in json.loads(path.read_text("utf-8")).items():
            if name in told and name not in _FREE and told[name] != before:
                was, now = json.dumps(before), json.dumps(told[name])
                raise ConfigError(
                    f"{folder} was begun with {name} {was}, not {now}: go on with it, or name a new --out"
                )
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state to go on from: whole, or not at all."""
    partial = folder / f"{STATE}.partial"
    torch.save(state, partial)
    partial.replace(folder / STATE)


def read_state(folder: Path) -> dict[str, Any] | None:
    """The state to go on from; None where there is none. Raises CheckpointError where it is damaged."""
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} is damaged ({told}): delete it to begin anew") from None
    return state


def forget_steps_after(log: Path, step: int) -> None:
    """Take out of a log what came after the state that a run goes on from: it is done again."""
    if log.is_file():
        kept = [line for line in log.read_text("utf-8").splitlines() if _step_of(line) <= step]
        log.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def _step_of(line: str) -> float:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf  # cut off in the middle of its line
