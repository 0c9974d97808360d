"""The optimiser of a training run: parameter groups, learning-rate schedule, gradient clipping."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import DTensor

from fo1_data.training.settings import TrainConfig
from fo1_data.training.stages import is_decayed
from fo1_data.training.workers import Workers


def make_optimiser(
    trained: Mapping[str, nn.Parameter], config: TrainConfig, workers: Workers
) -> torch.optim.Optimizer:
    """AdamW; with `sharding = "optimizer"` each worker keeps only its part of the state (ZeRO stage 1)."""
    groups = _groups(trained, config.weight_decay)
    settings: dict[str, Any] = {"lr": config.learning_rate, "betas": (0.9, 0.98)}
    if config.sharding == "optimizer" and workers.num > 1:
        return ZeroRedundancyOptimizer(groups, optimizer_class=torch.optim.AdamW, **settings)
    if config.sharding == "weights" and workers.num > 1:
        settings["foreach"] = False  # one call cannot mix whole and sharded weights
    elif all(parameter.device.type == "cpu" for parameter in trained.values()):
        settings["fused"] = True  # a quarter of the time of many calls
    return torch.optim.AdamW(groups, **settings)


def _groups(trained: Mapping[str, nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    decayed = [parameter for name, parameter in trained.items() if is_decayed(name, parameter)]
    rest = [parameter for name, parameter in trained.items() if not is_decayed(name, parameter)]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def scheduled_rate(step: int, config: TrainConfig, final_share: float = 0.0) -> float:
    """The learning rate of a step: linear warm-up, constant, linear decay over the last `decay_share`.

    The decay stops at the share `final_share` of the peak.
    """
    warmup = min(1.0, (step + 1) / max(1, config.warmup_steps))
    decay_steps = config.decay_share * config.steps
    decay = min(1.0, max(final_share, (config.steps - step) / decay_steps)) if decay_steps else 1.0
    return config.learning_rate * warmup * decay


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float, workers: Workers) -> Tensor:
    """Scale all gradients to a norm over all workers of at most `max_norm`; returns the norm before."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    parts = [gradient.to_local() for gradient in gradients if isinstance(gradient, DTensor)]
    whole = [gradient for gradient in gradients if not isinstance(gradient, DTensor)]
    squared_norm = nn.utils.get_total_norm(whole).square()
    if parts:
        squared_norm = squared_norm + workers.sum_of(nn.utils.get_total_norm(parts).square())
    norm = squared_norm.sqrt()
    scale = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for gradient in [*whole, *parts]:
        gradient.mul_(scale)
    return norm
