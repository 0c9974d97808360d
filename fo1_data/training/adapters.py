"""Low-rank adapters (LoRA) of the language model, by peft: small matrices train, its own weights stay.

A checkpoint is written with the adapters merged into the weights, so it loads like any other.
LoRA: Hu et al., arXiv 2106.09685.
"""

from typing import Any

import torch
from torch import Tensor, nn

from fo1_data.errors import ConfigError

_PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
_BASE_LAYER = ".base_layer."
_ADAPTER = ".lora_"
# What the product of an adapter's matrices is multiplied by.
ADAPTER_SCALE = 2


def add_adapters(language_model: nn.Module, rank: int) -> None:
    """Add an adapter of a rank, scaled by 2, to every projection of all layers; its initial effect is zero.

    Raises ConfigError if peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise ConfigError("lora_rank needs peft: pip install 'fo1-data[lora]'") from None
    config = LoraConfig(r=rank, lora_alpha=ADAPTER_SCALE * rank, target_modules=_PROJECTIONS)
    inject_adapter_in_model(config, language_model)


def is_adapter(name: str) -> bool:
    """Whether a parameter name belongs to an adapter."""
    return _ADAPTER in name


def base_name(name: str) -> str:
    """The name that a weight beside an adapter has in a model without adapters."""
    return name.replace(_BASE_LAYER, ".")


@torch.no_grad()
def merged_weights(model: nn.Module) -> dict[str, Tensor]:
    """The model's weights under their names without adapters; merged weights are on the CPU."""
    modules: dict[str, Any] = dict(model.named_modules())
    weights: dict[str, Tensor] = {}
    for name, weight in model.named_parameters():
        owner, is_adapted, leaf = name.partition(_BASE_LAYER)
        if not is_adapted:
            weights |= {} if is_adapter(name) else {name: weight}
        elif leaf == "weight":
            merged = weight + modules[owner].get_delta_weight("default").to(weight.dtype)
            weights[f"{owner}.weight"] = merged.cpu()
        else:
            weights[f"{owner}.{leaf}"] = weight
    return weights
