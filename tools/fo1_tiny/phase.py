"""What all phases share: batches from a worker process, optimiser steps, resume state, log."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, IterableDataset

from fo1_data.training.optimiser import clip_gradients, scheduled_rate
from fo1_data.training.run_folder import load_state, write_state
from fo1_data.training.settings import TrainConfig
from fo1_data.training.workers import Workers

LOG_EVERY = 50
# The learning rate decays to this share of its peak.
FINAL_RATE_SHARE = 0.02

Batch = TypeVar("Batch")


class EndlessBatches(IterableDataset, ABC, Generic[Batch]):
    """Batches without end. Batch `i` depends only on the seed and `i`, so a run can resume anywhere."""

    def __init__(self, config: TrainConfig, first_batch: int) -> None:
        self.config, self.first_batch = config, first_batch

    def load(self) -> None:
        """Load what `make` needs; runs in the worker process."""

    @abstractmethod
    def make(self, number: int, rng: np.random.Generator) -> Batch:
        """Make the batch of a number."""

    def scene_seeds(self, number: int) -> range:
        """The seeds of the scenes of a batch."""
        first = self.config.seed + number * self.config.batch_images
        return range(first, first + self.config.batch_images)

    def __iter__(self) -> Iterator[Batch]:
        self.load()
        number = self.first_batch
        while True:
            yield self.make(number, np.random.default_rng([self.config.seed, number]))
            number += 1

    def in_worker(self, prefetch: int = 8) -> Iterator[Batch]:
        """The batches, made ahead by one worker process."""
        return iter(
            DataLoader(self, batch_size=None, num_workers=1, prefetch_factor=prefetch, collate_fn=_unchanged)
        )


def _unchanged(batch: Batch) -> Batch:
    return batch


class Learner:
    """Modules in training, their optimiser and the step number.

    Resumes from `{name}.pt` in the phase's folder and logs a line to `{name}.jsonl` every 50 steps.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        config: TrainConfig,
        modules: Mapping[str, nn.Module],
        optimiser: Optimizer,
    ) -> None:
        self.folder, self.name, self.config = folder, name, config
        self.modules, self.optimiser = modules, optimiser
        self.step_number = 0
        self._parameters = [p for group in optimiser.param_groups for p in group["params"]]
        self._figures: dict[str, list[float]] = {}
        self._start_s = time.monotonic()

    @property
    def is_done(self) -> bool:
        """Whether all steps are done."""
        return self.step_number >= self.config.steps

    @property
    def is_save_due(self) -> bool:
        """Whether the state should be saved after this step."""
        return self.step_number % self.config.save_every == 0 or self.is_done

    def note(self, name: str, values: Sequence[float]) -> None:
        """Add values of a figure; the log has the mean of all values since its last line."""
        self._figures.setdefault(name, []).extend(values)

    def update(self, loss: Tensor) -> None:
        """Make one optimiser step at the learning rate of the schedule, and log it."""
        for group in self.optimiser.param_groups:
            group["lr"] = scheduled_rate(self.step_number, self.config, FINAL_RATE_SHARE)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        clip_gradients(self._parameters, self.config.clip_norm, Workers())
        self.optimiser.step()
        self.step_number += 1
        self.note("loss", [loss.item()])
        if self.step_number % LOG_EVERY == 0:
            line = {"step": self.step_number, "s": round(time.monotonic() - self._start_s, 1)}
            line |= {name: round(float(np.mean(values)), 4) for name, values in self._figures.items()}
            with (self.folder / f"{self.name}.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            self._figures = {}

    def save(self) -> None:
        """Write the state to resume from; the file appears whole or not at all."""
        state = {name: module.state_dict() for name, module in self.modules.items()}
        optimiser = self.optimiser.state_dict()
        write_state(self._state_path, {**state, "optimiser": optimiser, "step": self.step_number})

    def resume(self) -> bool:
        """Load the saved state; returns False if there is none."""
        state = load_state(self._state_path)
        if state is None:
            return False
        for name, module in self.modules.items():
            module.load_state_dict(state[name])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step_number = state["step"]
        return True

    @property
    def _state_path(self) -> Path:
        return self.folder / f"{self.name}.pt"
