"""What an interrupted training of the detector resumes from: its weights, optimiser, step and figures."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from fo1_data.errors import ConfigError
from fo1_data.training.detection.measuring import Found
from fo1_data.training.layout import STATE
from fo1_data.training.run_folder import load_state, write_state


class DetectorState:
    """The state in a run's folder. `made_from`: what decides the run; a run of anything else is refused."""

    def __init__(self, folder: Path, made_from: dict[str, Any]) -> None:
        self._folder, self._made_from = folder, made_from

    def load(self) -> dict[str, Any] | None:
        """What `save` was given, by name; None if there is nothing.

        Raises ConfigError if the run in the folder was made from something else, CheckpointError if the state
        is damaged.
        """
        state = load_state(self._folder / STATE)
        if state is None:
            return None
        for name, value in self._made_from.items():
            before = state["made_from"].get(name)
            if before != value:
                old, new = json.dumps(before), json.dumps(value)
                raise ConfigError(
                    f"{self._folder} was started with {name} {old}, not {new}: use the same, or another "
                    "--out that goes on from it (--resume-from)"
                )
        measured = [(step, Found(**figures)) for step, figures in state["measured"]]
        return {**state, "measured": measured}

    def save(
        self,
        step: int,
        weights: dict[str, Tensor],
        best_weights: dict[str, Tensor],
        optimiser: dict[str, Any],
        measured: list[tuple[int, Found]],
    ) -> None:
        """Write the state; it appears whole or not at all. Raises StorageError if it cannot be written."""
        self._folder.mkdir(parents=True, exist_ok=True)
        state = {
            "made_from": self._made_from,
            "step": step,
            "weights": weights,
            "best_weights": best_weights,
            "optimiser": optimiser,
            "measured": [(at_step, asdict(found)) for at_step, found in measured],
        }
        write_state(self._folder / STATE, state)


def load_other(folder: Path, steps: int) -> dict[str, Any]:
    """The state of the run in a folder, for another run to go on from up to `steps`.

    Raises ConfigError if there is none of a detector, or none with steps left; CheckpointError if it is
    damaged.
    """
    state = load_state(folder / STATE)
    if state is None or "best_weights" not in state:
        raise ConfigError(
            f"--resume-from {folder}: holds no state of a run of train-detector ({STATE}); weights alone are "
            "taken by --detector"
        )
    if state["step"] >= steps:
        raise ConfigError(
            f"--resume-from {folder} has made {state['step']} steps: give more than that by --steps"
        )
    return state
