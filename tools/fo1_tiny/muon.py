"""An optimiser that updates hidden matrices by Muon and everything else by AdamW.

Muon (K. Jordan et al., 2024): momentum, then the nearest semi-orthogonal matrix by four Newton-Schulz
steps, in float32 because bfloat16 products are slow on CPUs. The update is scaled to the size of AdamW's
(0.2 * sqrt(max(rows, columns))), so both use the same learning rate.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(update_MN: Tensor, steps: int = 4) -> Tensor:
    """Approximately the nearest semi-orthogonal matrix (singular values end between 0.7 and 1.2)."""
    a, b, c = _NEWTON_SCHULZ
    x = update_MN / (update_MN.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def split_parameters(named: Iterable[tuple[str, nn.Parameter]], not_muon: tuple[str, ...]) -> list[dict]:
    """Two groups: matrices whose name contains none of `not_muon`, for Muon, and the rest, for AdamW."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in named:
        if not parameter.requires_grad:
            continue
        muon = parameter.ndim == 2 and min(parameter.shape) > 4 and not any(part in name for part in not_muon)
        (matrices if muon else rest).append(parameter)
    return [{"params": matrices, "muon": True}, {"params": rest, "muon": False}]


class MuonAdamW(Optimizer):
    """Muon for groups with `muon` true, AdamW for the others."""

    def __init__(self, groups: list[dict], lr: float, weight_decay: float = 0.01) -> None:
        super().__init__(
            [group for group in groups if group["params"]],
            {"lr": lr, "weight_decay": weight_decay, "momentum": 0.95, "betas": (0.9, 0.98), "muon": False},
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            update = self._muon if group["muon"] else self._adamw
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"] * (parameter.ndim > 1))
                    update(parameter, parameter.grad, self.state[parameter], group)

    def _muon(self, parameter: nn.Parameter, grad: Tensor, state: dict, group: dict) -> None:
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(grad, 1 - group["momentum"])
        blended = grad.lerp(state["momentum"], group["momentum"])
        scale = 0.2 * max(parameter.shape) ** 0.5
        parameter.add_(orthogonalise(blended), alpha=-group["lr"] * scale)

    def _adamw(self, parameter: nn.Parameter, grad: Tensor, state: dict, group: dict) -> None:
        if "step" not in state:
            state.update(step=0, mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter))
        state["step"] += 1
        beta1, beta2 = group["betas"]
        state["mean"].lerp_(grad, 1 - beta1)
        state["square"].lerp_(grad.square(), 1 - beta2)
        mean = state["mean"] / (1 - beta1 ** state["step"])
        root = (state["square"] / (1 - beta2 ** state["step"])).sqrt()
        parameter.addcdiv_(mean, root + 1e-8, value=-group["lr"])
