"""A worker that trains a checkpoint: `fo1 train`. Plain loop, exact resume, alone or one of several.

Step `i` is made of the seed and `i` alone: which images, in which order their boxes, which questions. So
a resumed run goes on with the very losses of an undisturbed one, and several workers, each with its part
of a step's images, make the steps of one. A run's folder holds the checkpoint in the released layout,
`losses.jsonl`, `training.json` (how), `lineage.json` (what was consumed), and `training.pt` (weights in
float32, optimiser, step, generator states); the first worker writes it.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.optim import ZeroRedundancyOptimizer

from fo1_data.dataset.versions.lineage import describe_inputs, write_lineage
from fo1_data.errors import ConfigError, RunError
from fo1_data.model.checkpoint import Checkpoint, checkpoint_sha256, load_checkpoint, save_weights
from fo1_data.model.device import choose_device
from fo1_data.model.region_fusion import embed_prompt
from fo1_data.training.adapters import is_adapter, merged_weights
from fo1_data.training.optimiser import clip_gradients, learning_rate, make_optimiser
from fo1_data.training.packing import answer_loss, decode_packed, pack_batch
from fo1_data.training.run_folder import (
    LOSSES,
    STATE,
    forget_steps_after,
    keep_settings,
    read_state,
    write_state,
)
from fo1_data.training.samples.batches import LIMITS, Batches, TrainingImage, blank_image, pieces_of
from fo1_data.training.samples.distractors import load_distractors
from fo1_data.training.samples.negatives import PhraseBook
from fo1_data.training.samples.rare_regions import show_rare_more
from fo1_data.training.samples.source import ExampleSource
from fo1_data.training.settings import Stage, TrainConfig
from fo1_data.training.sharding import gather, is_sharded, load_optimiser, part_like, shard_decoder
from fo1_data.training.stages import choose_parameters
from fo1_data.training.workers import Workers


class Trainer:
    """A checkpoint, what of it trains, and the optimiser. `told`: figures of the last step for the log."""

    def __init__(self, checkpoint: Checkpoint, stage: Stage, config: TrainConfig) -> None:
        self.checkpoint, self.model, self.config = checkpoint, checkpoint.model.train(), config
        self.workers = Workers()
        names = choose_parameters(self.model, checkpoint.tokenizer, stage, config)
        self.sharded = config.sharding == "weights" and self.workers.num > 1
        if self.sharded:
            shard_decoder(self.model)
        self.trained = {name: one for name, one in self.model.named_parameters() if name in names}
        self.optimiser = make_optimiser(self.trained, config, self.workers)
        self.step_number = 0
        self.told: dict[str, float] = {}

    def loss(self, images: Sequence[TrainingImage]) -> Tensor:
        """The mean cross-entropy over all answer tokens of a batch, weighted."""
        return self.summed_loss(images) / sum(image.packed.total for image in images)

    def summed_loss(self, images: Sequence[TrainingImage]) -> Tensor:
        """The cross-entropy of all answer tokens of a batch, weighted and summed, in `precision`."""
        low = self.config.precision == "bfloat16"
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=low):
            return self._summed_loss(images)

    def _summed_loss(self, images: Sequence[TrainingImage]) -> Tensor:
        tokenizer = self.checkpoint.tokenizer
        prefixes = []
        for image, encoded in zip(
            images, self.model.encode_images([one.prepared for one in images]), strict=True
        ):
            ids = tokenizer.prefix_ids(len(image.prepared.aux_boxes))
            prefixes.append(embed_prompt(self.model, ids, encoded, image.prepared.grid_hw))
        batch = pack_batch(self.model, prefixes, [image.packed for image in images])
        states = decode_packed(self.model, batch, recompute=self.config.gradient_checkpointing)
        return answer_loss(self.model, states, batch.targets, weights=batch.weights)[0]

    def step(self, images: Sequence[TrainingImage]) -> float:
        """One update by this worker's images and the others'; returns the loss of all of them before it.

        Raises RunError where the loss is no number.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step_number, self.config)
        self.optimiser.zero_grad(set_to_none=True)
        device = self.model.device
        own = torch.tensor(sum(image.packed.total for image in images), dtype=torch.float32, device=device)
        total = self.workers.sum_of(own)
        if not total:  # no worker has an image: nothing moves, by momentum neither
            self.step_number += 1
            return 0.0
        summed = torch.zeros((), device=device)
        for piece in self._pieces(images):
            loss = self.summed_loss(piece) / total
            loss.backward()
            summed += loss.detach()
        mean = self.workers.sum_of(summed).item()
        if not math.isfinite(mean):
            raise RunError(f"the loss is {mean} at step {self.step_number}: lower learning_rate")
        self.workers.sum_gradients([one for one in self.trained.values() if not is_sharded(one)])
        norm = clip_gradients(self.trained.values(), self.config.clip_norm, self.workers)
        rate = self.optimiser.param_groups[0]["lr"]
        self.told = {"learning_rate": rate, "gradient_norm": round(norm.item(), 6)}
        self.optimiser.step()
        self.step_number += 1
        return mean

    def _pieces(self, images: Sequence[TrainingImage]) -> list[Sequence[TrainingImage]]:
        """The pieces of a step: as many as every other worker has, where the decoder is shared by all."""
        pieces = pieces_of(images, self.config.accumulation)
        if self.sharded:
            most = self.workers.most_of(len(pieces), self.model.device)
            if most > len(pieces):
                pieces += [[blank_image(self.checkpoint)]] * (most - len(pieces))
        return pieces

    def save(self, folder: Path) -> None:
        """Write the checkpoint and the state to resume from; each file appears whole or not at all.

        All workers call it, the first one writes.
        """
        if isinstance(self.optimiser, ZeroRedundancyOptimizer):
            self.optimiser.consolidate_state_dict(to=0)
        # What is sharded is gathered from all workers; all else the first one has.
        own, first = self.workers.first or self.sharded, self.workers.first
        weights = gather(merged_weights(self.model), keep=first) if own else {}
        adapters = {name: one for name, one in self.trained.items() if is_adapter(name)}
        trained = {**weights, **gather(adapters, keep=first)}
        optimiser = gather(self.optimiser.state_dict(), keep=first) if own else {}
        if self.workers.first:
            self._write(folder, weights, trained, optimiser)
        self.workers.wait()

    def _write(
        self,
        folder: Path,
        weights: dict[str, Tensor],
        trained: dict[str, Tensor],
        optimiser: dict[str, Any],
    ) -> None:
        save_weights(weights, self.checkpoint.folder, folder)
        state = {
            "weights": {name: trained[name] for name in self.trained},
            "optimiser": optimiser,
            "step": self.step_number,
            "torch_rng": torch.get_rng_state(),
        }
        write_state(folder, state)

    def resume(self, folder: Path) -> bool:
        """Take up the state in `folder` where there is one.

        Raises ConfigError where it is another run's, CheckpointError where it is damaged.
        """
        state = read_state(folder)
        if state is None:
            return False
        if set(state["weights"]) != set(self.trained):
            raise ConfigError(f"{folder} holds a run that trained other weights: name a new --out")
        with torch.no_grad():
            for name, value in state["weights"].items():
                self.trained[name].copy_(part_like(value, self.trained[name]))
        load_optimiser(self.optimiser, state["optimiser"])
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

    Where torch.distributed is set up, this is one worker of several. Raises UsageError kinds for bad data,
    settings or checkpoints, RunError where training fails.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    source = ExampleSource(addresses, config.seed, config.window_groups)
    num_images = len(source)
    rare = show_rare_more(source, config, LIMITS)
    book = PhraseBook(source.entries()) if config.negative_share else None
    checkpoint = load_checkpoint(model, device=choose_device(config.device), dtype=torch.float32)
    trainer = Trainer(checkpoint, stage, config)
    workers = trainer.workers
    batches = Batches(source, checkpoint, config, book, rare, load_distractors(config), workers)
    goes_on = (out / STATE).is_file()
    if workers.first:
        out.mkdir(parents=True, exist_ok=True)
        keep_settings(out, stage, config, goes_on)
    resumed = trainer.resume(out)
    if workers.first:
        forget_steps_after(out / LOSSES, trainer.step_number)
        folder = checkpoint.folder
        consumed = describe_inputs(list(addresses), model, checkpoint_sha256(folder), folder)
        write_lineage(out, consumed, goes_on=resumed)
    workers.wait()
    losses: list[float] = []
    while trainer.step_number < config.steps:
        losses.append(trainer.step(batches.of_step(trainer.step_number)))
        if workers.first:
            with (out / LOSSES).open("a", encoding="utf-8") as log:
                log.write(
                    json.dumps({"step": trainer.step_number, "loss": losses[-1], **trainer.told}) + "\n"
                )
            progress(trainer.step_number, losses[-1])
        if trainer.step_number % config.save_every == 0 and trainer.step_number < config.steps:
            trainer.save(out)
    trainer.save(out)
    return {
        "checkpoint": str(out),
        "stage": stage,
        "steps": trainer.step_number,
        "resumed": resumed,
        "images": num_images,
        "first_loss": losses[0] if losses else None,
        "last_loss": losses[-1] if losses else None,
        "trained_parameters": sum(parameter.numel() for parameter in trainer.trained.values()),
        "workers": workers.num,
    }
