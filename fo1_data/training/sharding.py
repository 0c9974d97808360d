"""Sharding of the language model's weights over the workers of a training run (ZeRO stage 3, by FSDP).

Each worker holds a part of every decoder projection, of its gradient and of its optimiser state, and gathers
a projection when it is computed. Everything else (embeddings, encoders, norms) is whole on every worker.
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

    The backward pass sums gradients over the workers, it does not average them. All workers must run the
    decoder equally often.
    """
    layers: Any = model.language_model.layers
    for layer in layers:
        attention = layer.self_attn
        for part in (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj, layer.mlp):
            # Each is an FSDP root, which by default stays gathered until the backward pass.
            sharded = fully_shard(part, reshard_after_forward=True)
            sharded.set_gradient_divide_factor(1.0)
            sharded.set_force_sum_reduction_for_comms(True)  # gloo has no scaled sum


def is_sharded(parameter: Tensor) -> bool:
    """Whether this worker holds only a part of the parameter."""
    return isinstance(parameter, DTensor)


def gather(values: Mapping[Any, Any], keep: bool) -> dict[Any, Any]:
    """Gather parameters or a (nested) optimiser state: every sharded tensor whole, all tensors on the CPU.

    All workers must call it; a worker that does not `keep` the result gets an empty dict.
    """
    gathered = {}
    for name, value in values.items():
        whole: Any = value
        if isinstance(value, Mapping):
            whole = gather(value, keep)
        elif isinstance(value, Tensor):
            local = value.detach()
            whole = local.full_tensor() if isinstance(local, DTensor) else local
            whole = whole.cpu() if keep else None
        if keep:
            gathered[name] = whole
    return gathered


def local_part(value: Tensor, parameter: Tensor) -> Tensor:
    """This worker's part of a whole value, sharded like the parameter; the value itself if it is not."""
    if not isinstance(parameter, DTensor) or value.shape != parameter.shape:
        return value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)


def load_optimiser(optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load an optimiser state in which every tensor is whole; this worker takes its part."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    parts = {
        number: {
            name: local_part(value, parameters[number]) if isinstance(value, Tensor) else value
            for name, value in values.items()
        }
        for number, values in state["state"].items()
    }
    optimiser.load_state_dict({**state, "state": parts})
