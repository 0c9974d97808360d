"""Sharding the language model's weights over the workers of a training run (ZeRO stage 3, by FSDP).

Each worker holds its part of every projection of the decoder, of its gradient and of its optimiser's
state, and gathers a projection when it runs it. The rest (embeddings, encoders, norms) stays whole with
every worker.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from fo1_data.model.modeling import Fo1Model


def shard_decoder(model: Fo1Model) -> None:
    """Shard the projections of all decoder layers over all workers; their parameters become new objects.

    Gradients are summed over the workers, not averaged, on the way back. All workers must run the decoder
    equally often.
    """
    layers: Any = model.language_model.layers
    for layer in layers:
        attention = layer.self_attn
        for part in (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj, layer.mlp):
            # Each is a root of its own, which would stay gathered until the way back.
            sharded = fully_shard(part, reshard_after_forward=True)
            sharded.set_gradient_divide_factor(1.0)
            sharded.set_force_sum_reduction_for_comms(True)  # gloo knows no scaled sum


def is_sharded(parameter: Tensor) -> bool:
    """Whether this worker holds but a part of it."""
    return isinstance(parameter, DTensor)


def gather(values: Mapping[Any, Any], keep: bool) -> dict[Any, Any]:
    """Parameters or a (nested) optimiser's state with every sharded tensor whole, and all on the CPU.

    All workers must call it; those that do not `keep` the result get an empty one.
    """
    found = {}
    for name, value in values.items():
        one: Any = value
        if isinstance(value, Mapping):
            one = gather(value, keep)
        elif isinstance(value, Tensor):
            held = value.detach()
            one = held.full_tensor() if isinstance(held, DTensor) else held
            one = one.cpu() if keep else None
        if keep:
            found[name] = one
    return found


def part_like(value: Tensor, parameter: Tensor) -> Tensor:
    """This worker's part of a whole value, sharded as the parameter is."""
    if not isinstance(parameter, DTensor) or value.shape != parameter.shape:
        return value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)


def load_optimiser(optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load the whole state of an optimiser, of which this worker takes its part."""
    parameters = [one for group in optimiser.param_groups for one in group["params"]]
    parts = {
        number: {
            name: part_like(value, parameters[number]) if isinstance(value, Tensor) else value
            for name, value in held.items()
        }
        for number, held in state["state"].items()
    }
    optimiser.load_state_dict({**state, "state": parts})
