"""One process that trains a checkpoint: `fo1 train`. Plain loop, exact resume.

Step `i` is made of the seed and `i` alone: which images, in which order their boxes, which questions. So
a resumed run goes on with the very losses of an undisturbed one. A run's folder holds the checkpoint in the
released layout, `losses.jsonl`, and `training.pt` (weights in float32, optimiser, step, generator states).
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fo1_data.corpus.images import InputLimits
from fo1_data.errors import ConfigError, InputReject, RunError
from fo1_data.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from fo1_data.model.device import choose_device
from fo1_data.model.processing import PreparedImage
from fo1_data.model.region_fusion import embed_prompt
from fo1_data.training.dataset_samples import Example, load_examples, show
from fo1_data.training.packing import (
    PackedQuestions,
    answer_loss,
    decode_packed,
    pack_batch,
    pack_questions,
)
from fo1_data.training.samples import draw_questions
from fo1_data.training.settings import Stage, TrainConfig
from fo1_data.training.stages import choose_parameters, decayed

_STATE = "training.pt"
_LIMITS = InputLimits()


@dataclass(frozen=True)
class TrainingImage:
    """One image of a batch, ready for the model, with its questions."""

    prepared: PreparedImage
    packed: PackedQuestions


class Trainer:
    """A checkpoint, what of it trains, and the optimiser."""

    def __init__(self, checkpoint: Checkpoint, stage: Stage, config: TrainConfig) -> None:
        self.checkpoint, self.model, self.config = checkpoint, checkpoint.model.train(), config
        self.trained = choose_parameters(self.model, checkpoint.tokenizer, stage, config)
        self.optimiser = torch.optim.AdamW(
            _groups(self.trained, config.weight_decay), lr=config.learning_rate, betas=(0.9, 0.98)
        )
        self.step_number = 0

    def loss(self, images: Sequence[TrainingImage]) -> Tensor:
        """The mean cross-entropy over all answer tokens of a batch."""
        tokenizer = self.checkpoint.tokenizer
        prefixes = []
        for image, encoded in zip(
            images, self.model.encode_images([one.prepared for one in images]), strict=True
        ):
            ids = tokenizer.prefix_ids(len(image.prepared.aux_boxes))
            prefixes.append(embed_prompt(self.model, ids, encoded, image.prepared.grid_hw))
        batch = pack_batch(self.model, prefixes, [image.packed for image in images])
        summed, count = answer_loss(self.model, decode_packed(self.model, batch), batch.targets)
        return summed / count

    def step(self, images: Sequence[TrainingImage]) -> float:
        """One update; returns the loss before it. Raises RunError where the loss is no number."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step_number, self.config)
        loss = self.loss(images)
        if not math.isfinite(loss.item()):
            raise RunError(f"the loss is {loss.item()} at step {self.step_number}: lower learning_rate")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained.values(), self.config.clip_norm)
        self.optimiser.step()
        self.step_number += 1
        return loss.item()

    def save(self, folder: Path) -> None:
        """Write the checkpoint and the state to resume from; each file appears whole or not at all."""
        save_checkpoint(self.model, self.checkpoint.folder, folder)
        state = {
            "weights": {name: parameter.detach().cpu() for name, parameter in self.trained.items()},
            "optimiser": self.optimiser.state_dict(),
            "step": self.step_number,
            "torch_rng": torch.get_rng_state(),
        }
        partial = folder / f"{_STATE}.partial"
        torch.save(state, partial)
        partial.replace(folder / _STATE)

    def resume(self, folder: Path) -> bool:
        """Take up the state in `folder` where there is one. ConfigError where it is another run's."""
        if not (folder / _STATE).is_file():
            return False
        state = torch.load(folder / _STATE, map_location="cpu", weights_only=True)
        if set(state["weights"]) != set(self.trained):
            raise ConfigError(f"{folder} holds another stage's run: name a new --out")
        with torch.no_grad():
            for name, value in state["weights"].items():
                self.trained[name].copy_(value)
        self.optimiser.load_state_dict(state["optimiser"])
        self.step_number = state["step"]
        torch.set_rng_state(state["torch_rng"])
        return True


def train(
    addresses: Sequence[str],
    stage: Stage,
    model: str,
    out: Path,
    config: TrainConfig,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> dict[str, Any]:
    """Train to `config.steps`, resuming what `out` holds; returns steps, images, and first and last losses.

    Raises UsageError kinds for bad data, settings or checkpoints, RunError where training fails.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    examples = load_examples(addresses)
    checkpoint = load_checkpoint(model, device=choose_device(config.device), dtype=torch.float32)
    trainer = Trainer(checkpoint, stage, config)
    resumed = trainer.resume(out)
    out.mkdir(parents=True, exist_ok=True)
    losses: list[float] = []
    while trainer.step_number < config.steps:
        images = batch_of(examples, checkpoint, trainer.step_number, config)
        losses.append(trainer.step(images))
        with (out / "losses.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({"step": trainer.step_number, "loss": losses[-1]}) + "\n")
        progress(trainer.step_number, losses[-1])
        if trainer.step_number % config.save_every == 0:
            trainer.save(out)
    trainer.save(out)
    return {
        "checkpoint": str(out),
        "stage": stage,
        "steps": trainer.step_number,
        "resumed": resumed,
        "images": len(examples),
        "first_loss": losses[0] if losses else None,
        "last_loss": losses[-1] if losses else None,
        "trained_parameters": sum(parameter.numel() for parameter in trainer.trained.values()),
    }


def learning_rate(step: int, config: TrainConfig) -> float:
    """Warm-up, level, and linear down to nothing over the last `decay_share` of the steps."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    falling = config.decay_share * config.steps
    left = min(1.0, (config.steps - step) / falling) if falling else 1.0
    return config.learning_rate * warm * left


def batch_of(
    examples: Sequence[Example], checkpoint: Checkpoint, step: int, config: TrainConfig
) -> list[TrainingImage]:
    """The images of a step. Every epoch has an order of its own; an image that cannot be used is passed over.

    Raises RunError where a whole epoch holds no image with a question.
    """
    images: list[TrainingImage] = []
    first = step * config.batch_images
    for offset in range(config.batch_images):
        place = first + offset
        for retry in range(len(examples)):
            example = examples[place_in_epoch(place + retry, len(examples), config.seed)]
            image = prepare(example, checkpoint, config, np.random.default_rng([config.seed, place, retry]))
            if image is not None:
                images.append(image)
                break
    if not images:
        raise RunError(
            "no image could be read and had a question: check the dataset with fo1 dataset validate"
        )
    return images


def place_in_epoch(place: int, num_examples: int, seed: int) -> int:
    """The example at a place of the endless, in each epoch differently shuffled, series."""
    epoch, rest = divmod(place, num_examples)
    return int(np.random.default_rng([seed, epoch]).permutation(num_examples)[rest])


def prepare(
    example: Example, checkpoint: Checkpoint, config: TrainConfig, rng: np.random.Generator
) -> TrainingImage | None:
    """An image with its questions, or None where it cannot be read or has nothing to ask."""
    try:
        shown = show(example, rng, config.shuffle_boxes, config.box_jitter, _LIMITS)
    except InputReject:
        return None
    indices = list(range(len(shown.boxes_xyxy)))
    questions = draw_questions(shown.known, indices, rng, config.questions_per_image)
    if not questions:
        return None
    prepared = checkpoint.processor.prepare(shown.image.rgb, shown.boxes_xyxy)
    return TrainingImage(prepared, pack_questions(checkpoint.tokenizer, questions))


def _groups(trained: dict[str, nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    falling = [parameter for name, parameter in trained.items() if decayed(name, parameter)]
    rest = [parameter for name, parameter in trained.items() if not decayed(name, parameter)]
    groups = [{"params": falling, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
