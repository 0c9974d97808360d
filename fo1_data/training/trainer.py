"""The weights that a run trains, the steps it makes, and the state it resumes from; `run` has the loop.

Several workers, each with a part of a step's images, make the same steps as a single one.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.optim import ZeroRedundancyOptimizer

from fo1_data.errors import ConfigError, RunError
from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.checkpoint_files import save_weights
from fo1_data.model.frozen_towers import finish, run_frozen
from fo1_data.model.modeling import ImageFeatures
from fo1_data.model.processing import PreparedImage
from fo1_data.model.region_fusion import embed_prompt
from fo1_data.training.adapters import is_adapter, merged_weights
from fo1_data.training.feature_cache import CachedImage, FeatureCache, num_frozen_stages
from fo1_data.training.layout import STATE
from fo1_data.training.optimiser import clip_gradients, make_optimiser, scheduled_rate
from fo1_data.training.packing import PackedBatch, answer_loss, decode_answers, pack_batch
from fo1_data.training.run_folder import load_state, write_state
from fo1_data.training.samples.batches import blank_image, split_batch
from fo1_data.training.samples.left_out import LeftOut
from fo1_data.training.samples.training_image import TrainingImage
from fo1_data.training.settings import Stage, TrainConfig
from fo1_data.training.sharding import gather, is_sharded, load_optimiser, local_part, shard_decoder
from fo1_data.training.stages import choose_parameters
from fo1_data.training.workers import Workers

# Where recomputing costs more than reading.
_CPU_CACHE_GIB = 10.0


class Trainer:
    """A checkpoint, its trained weights, and the optimiser.

    `step_figures`: of the last step, for the log; `num_tokens`: how many tokens were decoded so far;
    `left_out`: the training images that this worker met and left out.
    """

    def __init__(self, checkpoint: Checkpoint, stage: Stage, config: TrainConfig) -> None:
        self.checkpoint, self.model, self.config = checkpoint, checkpoint.model.train(), config
        self.workers = Workers()
        names = choose_parameters(self.model, checkpoint.tokenizer, stage, config)
        self.is_sharded = config.sharding == "weights" and self.workers.num > 1
        if self.is_sharded:
            shard_decoder(self.model)
        self.trained = {name: parameter for name, parameter in self.model.named_parameters() if name in names}
        self.optimiser = make_optimiser(self.trained, config, self.workers)
        self.cache = self._open_cache()
        self.step_number = 0
        self.step_figures: dict[str, float] = {}
        self.num_tokens = 0
        self.left_out = LeftOut()

    def _open_cache(self) -> FeatureCache | None:
        """The cache of the frozen towers' features, if it is on and images look the same each time."""
        gib = self.config.feature_cache_gib
        gib = gib if gib is not None else _CPU_CACHE_GIB if self.model.device.type == "cpu" else 0
        num_stages = num_frozen_stages(self.trained, len(self.model.vision_tower_aux.convs))
        if not gib or not num_stages or self.config.changes_pixels:
            return None
        return FeatureCache(self.checkpoint, num_stages, int(gib * 2**30))

    def loss(self, images: Sequence[TrainingImage]) -> Tensor:
        """The weighted mean cross-entropy of all answer tokens of a batch."""
        return self.summed_loss(images) / sum(image.packed.total for image in images)

    def summed_loss(self, images: Sequence[TrainingImage]) -> Tensor:
        """The weighted sum of the cross-entropies of all answer tokens of a batch, in `precision`."""
        use_bfloat16 = self.config.precision == "bfloat16"
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=use_bfloat16):
            return self._summed_loss(images)

    def _summed_loss(self, images: Sequence[TrainingImage]) -> Tensor:
        states, batch = self.decode(images)
        return answer_loss(self.model, states, batch.targets_BL, weights_BL=batch.weights_BL)[0]

    def decode(self, images: Sequence[TrainingImage]) -> tuple[Tensor, PackedBatch]:
        """The decoder's states (N, D) of the tokens of all answers, and what was packed."""
        tokenizer = self.checkpoint.tokenizer
        prefixes = []
        encoded_images = self._encode(images)
        for image, encoded in zip(images, encoded_images, strict=True):
            shown = image.prepared
            num_regions = 0 if shown is None else len(shown.aux_boxes)
            ids = tokenizer.prefix_ids(num_regions, has_image=shown is not None)
            prefixes.append(embed_prompt(self.model, ids, encoded, None if shown is None else shown.grid_hw))
        batch = pack_batch(self.model, prefixes, [image.packed for image in images])
        self.num_tokens += batch.embeds_BLD.shape[0] * batch.embeds_BLD.shape[1]
        return decode_answers(self.model, batch, recompute=self.config.gradient_checkpointing), batch

    def _encode(self, images: Sequence[TrainingImage]) -> list[ImageFeatures | None]:
        """What the language model reads of each image; None of a chat in text alone.

        Images without regions, as crops are, are not cached, and encoded together.
        """
        shown = [image.prepared for image in images]
        are_cached = [self.cache is not None and one is not None and len(one.aux_boxes) > 0 for one in shown]
        others = [one for one, is_cached in zip(shown, are_cached, strict=True) if one and not is_cached]
        encoded = iter(self.model.encode_images(others) if others else [])
        found: list[ImageFeatures | None] = []
        for image, is_cached in zip(images, are_cached, strict=True):
            if image.prepared is None:
                found.append(None)
            else:
                found.append(self._encode_cached(image, image.prepared) if is_cached else next(encoded))
        return found

    def _encode_cached(self, image: TrainingImage, prepared: PreparedImage) -> ImageFeatures:
        """Of an image whose frozen features are in the cache, or are put there."""
        assert self.cache is not None
        frozen = image.frozen
        if frozen is None:
            # In full precision whatever the run's: other runs read it too.
            with torch.autocast(self.model.device.type, enabled=False):
                frozen = run_frozen(self.model, prepared, self.cache.num_stages)
            if image.shape is not None and image.image_id is not None:
                self.cache.keep(image.image_id, CachedImage(image.shape, frozen))
        return finish(self.model, frozen, prepared)

    def begin_again(self) -> None:
        """Forget the steps made so far, but not what they did to the weights."""
        self.optimiser = make_optimiser(self.trained, self.config, self.workers)
        self.step_number, self.step_figures = 0, {}

    def step(self, images: Sequence[TrainingImage], learning_rate: float | None = None) -> float:
        """Make one update from the images of all workers; returns their loss before the update.

        `learning_rate`: in place of the settings'. Raises RunError if the loss is not finite.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate or scheduled_rate(self.step_number, self.config)
        self.optimiser.zero_grad(set_to_none=True)
        device = self.model.device
        own_weight = sum(image.packed.total for image in images)
        total = self.workers.sum_of(torch.tensor(own_weight, dtype=torch.float32, device=device))
        rate = self.optimiser.param_groups[0]["lr"]
        if not total:  # no worker has an image: no update, not even by momentum
            self.step_number += 1
            self.step_figures = {"learning_rate": rate, "gradient_norm": 0.0}
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
        self.step_figures = {"learning_rate": rate, "gradient_norm": round(norm.item(), 6)}
        self.optimiser.step()
        self.step_number += 1
        return mean

    def all_left_out(self) -> LeftOut:
        """What the workers have left out; all of them must call it."""
        return LeftOut().add(self.workers.values_of(self.left_out))

    def _pieces(self, images: Sequence[TrainingImage]) -> list[Sequence[TrainingImage]]:
        """The pieces of a step; with a sharded decoder all workers get equally many, by blank ones."""
        pieces = split_batch(images, self.config.accumulation)
        if self.is_sharded:
            num_pieces = self.workers.max_of(len(pieces), self.model.device)
            pieces += [[blank_image(self.checkpoint)]] * (num_pieces - len(pieces))
        return pieces

    def save_checkpoint(self, folder: Path) -> None:
        """Write the checkpoint alone; all workers must call it, the first one writes."""
        weights = gather(merged_weights(self.model), keep=self.workers.is_first)
        if self.workers.is_first:
            self._save_weights(weights, folder)
        self.workers.wait()

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
        left_out = self.all_left_out()
        if is_first:
            self._write(folder, weights, trained, optimiser, left_out)
        self.workers.wait()

    def _save_weights(self, weights: dict[str, Tensor], folder: Path) -> None:
        save_weights(weights, self.checkpoint.folder, folder, self.checkpoint.settings)

    def _write(
        self,
        folder: Path,
        weights: dict[str, Tensor],
        trained: dict[str, Tensor],
        optimiser: dict[str, Any],
        left_out: LeftOut,
    ) -> None:
        self._save_weights(weights, folder)
        state = {
            "weights": {name: trained[name] for name in self.trained},
            "optimiser": optimiser,
            "step": self.step_number,
            "torch_rng": torch.get_rng_state(),
            **left_out.state(),
        }
        write_state(folder / STATE, state)

    def resume(self, folder: Path) -> bool:
        """Load the state of this run in `folder`; returns False if there is none.

        Raises ConfigError if it belongs to another run, CheckpointError if it is damaged.
        """
        state = load_state(folder / STATE)
        if state is None:
            return False
        if not self._fits(state):
            raise ConfigError(f"{folder} has a run that trained other weights: use another --out")
        self._load(state, self.trained)
        load_optimiser(self.optimiser, state["optimiser"])
        self.left_out.load(state)
        return True

    def go_on_from(self, folder: Path) -> None:
        """Load the state of another run, whose checkpoint this one begins with.

        That checkpoint has the other run's adapters merged in: new ones begin at zero, with a new optimiser.
        Raises as `resume`.
        """
        state = load_state(folder / STATE)
        if state is None or not self._fits(state):
            raise ConfigError(
                f"--resume-from {folder}: trained other weights, by its stage or settings; to train others "
                f"from its checkpoint, use --model {folder}"
            )
        whole = [name for name in self.trained if not is_adapter(name)]
        self._load(state, whole)
        if len(whole) == len(self.trained):
            load_optimiser(self.optimiser, state["optimiser"])

    def _fits(self, state: dict[str, Any]) -> bool:
        return set(state["weights"]) == set(self.trained)

    def _load(self, state: dict[str, Any], names: Iterable[str]) -> None:
        with torch.no_grad():
            for name in names:
                self.trained[name].copy_(local_part(state["weights"][name], self.trained[name]))
        self.step_number = state["step"]
        torch.set_rng_state(state["torch_rng"])
