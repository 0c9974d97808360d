"""Training of a checkpoint in one worker: `fo1 train`. A plain loop with exact resume, alone or distributed.

Step `i` depends only on the seed and `i`: its images, the order of their boxes, the questions. So a resumed
run has the same losses as an uninterrupted one, and several workers, each with a part of a step's images,
make the same steps as a single one. A run's folder holds the checkpoint in the released layout,
`losses.jsonl`, `training.json` (settings), `lineage.json` (inputs), and `training.pt` (trained weights in
float32, optimiser, step, random generator state); the first worker writes it.
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
from fo1_data.model.checkpoint import Checkpoint, load_checkpoint
from fo1_data.model.checkpoint_files import save_weights
from fo1_data.model.checkpoint_folder import checkpoint_sha256
from fo1_data.model.device import choose_device
from fo1_data.model.region_fusion import embed_prompt
from fo1_data.training.adapters import is_adapter, merged_weights
from fo1_data.training.optimiser import clip_gradients, learning_rate, make_optimiser
from fo1_data.training.packing import answer_loss, decode_packed, pack_batch
from fo1_data.training.run_folder import (
    LOSSES,
    STATE,
    load_state,
    truncate_log,
    write_settings,
    write_state,
)
from fo1_data.training.samples.batches import LIMITS, Batches, TrainingImage, blank_image, split_batch
from fo1_data.training.samples.distractors import load_distractors
from fo1_data.training.samples.negatives import PhraseBook
from fo1_data.training.samples.rare_regions import oversample_rare
from fo1_data.training.samples.source import open_source
from fo1_data.training.settings import Stage, TrainConfig
from fo1_data.training.sharding import gather, is_sharded, load_optimiser, local_part, shard_decoder
from fo1_data.training.stages import choose_parameters
from fo1_data.training.workers import Workers


class Trainer:
    """A checkpoint, its trained weights, and the optimiser. `step_figures`: of the last step, for the log."""

    def __init__(self, checkpoint: Checkpoint, stage: Stage, config: TrainConfig) -> None:
        self.checkpoint, self.model, self.config = checkpoint, checkpoint.model.train(), config
        self.workers = Workers()
        names = choose_parameters(self.model, checkpoint.tokenizer, stage, config)
        self.is_sharded = config.sharding == "weights" and self.workers.num > 1
        if self.is_sharded:
            shard_decoder(self.model)
        self.trained = {name: parameter for name, parameter in self.model.named_parameters() if name in names}
        self.optimiser = make_optimiser(self.trained, config, self.workers)
        self.step_number = 0
        self.step_figures: dict[str, float] = {}

    def loss(self, images: Sequence[TrainingImage]) -> Tensor:
        """The weighted mean cross-entropy of all answer tokens of a batch."""
        return self.summed_loss(images) / sum(image.packed.total for image in images)

    def summed_loss(self, images: Sequence[TrainingImage]) -> Tensor:
        """The weighted sum of the cross-entropies of all answer tokens of a batch, in `precision`."""
        use_bfloat16 = self.config.precision == "bfloat16"
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=use_bfloat16):
            return self._summed_loss(images)

    def _summed_loss(self, images: Sequence[TrainingImage]) -> Tensor:
        tokenizer = self.checkpoint.tokenizer
        prefixes = []
        encoded_images = self.model.encode_images([image.prepared for image in images])
        for image, encoded in zip(images, encoded_images, strict=True):
            ids = tokenizer.prefix_ids(len(image.prepared.aux_boxes))
            prefixes.append(embed_prompt(self.model, ids, encoded, image.prepared.grid_hw))
        batch = pack_batch(self.model, prefixes, [image.packed for image in images])
        states = decode_packed(self.model, batch, recompute=self.config.gradient_checkpointing)
        return answer_loss(self.model, states, batch.targets_BL, weights_BL=batch.weights_BL)[0]

    def step(self, images: Sequence[TrainingImage]) -> float:
        """Make one update from the images of all workers; returns their loss before the update.

        Raises RunError if the loss is not finite.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step_number, self.config)
        self.optimiser.zero_grad(set_to_none=True)
        device = self.model.device
        own_weight = sum(image.packed.total for image in images)
        total = self.workers.sum_of(torch.tensor(own_weight, dtype=torch.float32, device=device))
        if not total:  # no worker has an image: no update, not even by momentum
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
        self.workers.sum_gradients([weight for weight in self.trained.values() if not is_sharded(weight)])
        norm = clip_gradients(self.trained.values(), self.config.clip_norm, self.workers)
        rate = self.optimiser.param_groups[0]["lr"]
        self.step_figures = {"learning_rate": rate, "gradient_norm": round(norm.item(), 6)}
        self.optimiser.step()
        self.step_number += 1
        return mean

    def _pieces(self, images: Sequence[TrainingImage]) -> list[Sequence[TrainingImage]]:
        """The pieces of a step; with a sharded decoder all workers get equally many, by blank ones."""
        pieces = split_batch(images, self.config.accumulation)
        if self.is_sharded:
            num_pieces = self.workers.max_of(len(pieces), self.model.device)
            pieces += [[blank_image(self.checkpoint)]] * (num_pieces - len(pieces))
        return pieces

    def save(self, folder: Path) -> None:
        """Write the checkpoint and the state to resume from; each file appears whole or not at all.

        All workers must call it; the first one writes.
        """
        if isinstance(self.optimiser, ZeroRedundancyOptimizer):
            self.optimiser.consolidate_state_dict(to=0)
        # Sharded tensors are gathered from all workers; the first worker has everything else.
        is_first = self.workers.is_first
        takes_part = is_first or self.is_sharded
        weights = gather(merged_weights(self.model), keep=is_first) if takes_part else {}
        adapters = {name: weight for name, weight in self.trained.items() if is_adapter(name)}
        trained = {**weights, **gather(adapters, keep=is_first)}
        optimiser = gather(self.optimiser.state_dict(), keep=is_first) if takes_part else {}
        if is_first:
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
        write_state(folder / STATE, state)

    def resume(self, folder: Path) -> bool:
        """Load the state in `folder`; returns False if there is none.

        Raises ConfigError if it belongs to another run, CheckpointError if it is damaged.
        """
        state = load_state(folder / STATE)
        if state is None:
            return False
        if set(state["weights"]) != set(self.trained):
            raise ConfigError(f"{folder} has a run that trained other weights: use another --out")
        with torch.no_grad():
            for name, value in state["weights"].items():
                self.trained[name].copy_(local_part(value, self.trained[name]))
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
    """Train to `config.steps`, resuming a run in `out`; returns steps, images, first and last loss.

    If torch.distributed is set up, this is one worker of several. `progress`: called with step and loss after
    each step. Raises subclasses of UsageError for bad data, settings or checkpoints, RunError if training
    fails.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    source = open_source(addresses, config.seed, config.window_groups)
    num_images = len(source)
    rare = oversample_rare(source, config, LIMITS)
    book = PhraseBook(source.entries()) if config.negative_share else None
    checkpoint = load_checkpoint(model, device=choose_device(config.device), dtype=torch.float32)
    trainer = Trainer(checkpoint, stage, config)
    workers = trainer.workers
    batches = Batches(source, checkpoint, config, book, rare, load_distractors(config), workers)
    resumes = (out / STATE).is_file()
    if workers.is_first:
        out.mkdir(parents=True, exist_ok=True)
        write_settings(out, stage, config, resumes)
    resumed = trainer.resume(out)
    if workers.is_first:
        truncate_log(out / LOSSES, trainer.step_number)
        folder = checkpoint.folder
        inputs = describe_inputs(list(addresses), model, checkpoint_sha256(folder), folder)
        write_lineage(out, inputs, resumed=resumed)
    workers.wait()
    losses: list[float] = []
    while trainer.step_number < config.steps:
        losses.append(trainer.step(batches.of_step(trainer.step_number)))
        if workers.is_first:
            with (out / LOSSES).open("a", encoding="utf-8") as log:
                figures = {"step": trainer.step_number, "loss": losses[-1], **trainer.step_figures}
                log.write(json.dumps(figures) + "\n")
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
