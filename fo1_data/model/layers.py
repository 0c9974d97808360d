"""Layers that the language model and the vision towers share, and how their weights begin.

Shapes: `...` tokens in any leading shape, C channels, F channels inside a feed-forward part.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional

_INITIAL_STD = 0.02
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_pytorch_tanh": partial(functional.gelu, approximate="tanh"),
    "relu": functional.relu,
}


class GatedFeedForward(nn.Module):
    """Qwen2.5's feed-forward part (..., C) -> (..., C): the gate, activated, times the up projection."""

    def __init__(self, width: int, inner: int, activation: str, *, has_bias: bool) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=has_bias)
        self.up_proj = nn.Linear(width, inner, bias=has_bias)
        self.down_proj = nn.Linear(inner, width, bias=has_bias)
        self.activate = ACTIVATIONS[activation]

    def forward(self, states: Tensor) -> Tensor:
        return self.down_proj(self.activate(self.gate_proj(states)) * self.up_proj(states))


class RMSNorm(nn.RMSNorm):
    """RMSNorm in the dtype of its input, also where weights are kept in a wider one (mixed precision)."""

    def forward(self, states: Tensor) -> Tensor:
        return functional.rms_norm(states, self.normalized_shape, self.weight.to(states.dtype), self.eps)


def initialise(module: nn.Module) -> None:
    """Draw weights of products, convolutions and embeddings from N(0, 0.02^2), and set their biases to 0.

    To be applied to every module of a new model, as Qwen2.5-VL and Florence-2 begin. Nothing is drawn on the
    meta device, where torch would import its compiler for it.
    """
    drawn = nn.Linear | nn.Conv2d | nn.Conv3d | nn.Embedding
    if not isinstance(module, drawn) or module.weight.is_meta:
        return
    nn.init.normal_(module.weight, std=_INITIAL_STD)
    if not isinstance(module, nn.Embedding) and module.bias is not None:
        nn.init.zeros_(module.bias)
