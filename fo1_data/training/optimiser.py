"""The optimiser of a training run: what decays, how fast it learns, and how gradients are bounded."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import DTensor

from fo1_data.training.settings import TrainConfig
from fo1_data.training.stages import decayed
from fo1_data.training.workers import Workers


def make_optimiser(
    trained: Mapping[str, nn.Parameter], config: TrainConfig, workers: Workers
) -> torch.optim.Optimizer:
    """AdamW, each worker holding its part of the state where that is wanted (ZeRO, stage 1)."""
    groups = _groups(trained, config.weight_decay)
    settings: dict[str, Any] = {"lr": config.learning_rate, "betas": (0.9, 0.98)}
    if config.sharding == "weights" and workers.num > 1:
        settings["foreach"] = False  # whole and sharded weights do not mix in one call
    if config.sharding == "optimizer" and workers.num > 1:
        return ZeroRedundancyOptimizer(groups, optimizer_class=torch.optim.AdamW, **settings)
    return torch.optim.AdamW(groups, **settings)


def _groups(trained: Mapping[str, nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    falling = [parameter for name, parameter in trained.items() if decayed(name, parameter)]
    rest = [parameter for name, parameter in trained.items() if not decayed(name, parameter)]
    groups = [{"params": falling, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def learning_rate(step: int, config: TrainConfig) -> float:
    """Warm-up, level, and linear down to nothing over the last `decay_share` of the steps."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    falling = config.decay_share * config.steps
    left = min(1.0, (config.steps - step) / falling) if falling else 1.0
    return config.learning_rate * warm * left


def clip_gradients(parameters: Iterable[nn.Parameter], most: float, workers: Workers) -> Tensor:
    """Scale all gradients to a norm, over all workers together, of at most `most`; the norm before."""
    gradients = [one.grad for one in parameters if one.grad is not None]
    parts = [one.to_local() for one in gradients if isinstance(one, DTensor)]
    held = [one for one in gradients if not isinstance(one, DTensor)]
    squares = nn.utils.get_total_norm(held).square()
    if parts:
        squares = squares + workers.sum_of(nn.utils.get_total_norm(parts).square())
    norm = squares.sqrt()
    scale = (most / (norm + 1e-6)).clamp(max=1.0)
    for gradient in [*held, *parts]:
        gradient.mul_(scale)
    return norm
