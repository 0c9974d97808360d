"""Low-rank adapters of the language model: small matrices train, its own weights stay (LoRA, Hu et al.,
arXiv 2106.09685), by peft. A checkpoint is written with the adapters added in: it loads like any other.
"""

from typing import Any

import torch
from torch import Tensor, nn

from fo1_data.errors import ConfigError

_PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
_OWN = ".base_layer."
_ADAPTER = ".lora_"


def add_adapters(language_model: nn.Module, rank: int) -> None:
    """Put an adapter of a rank, scaled by 2, beside every projection of all layers; they begin as nothing.

    Raises ConfigError where peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise ConfigError("lora_rank needs peft: pip install 'fo1-data[lora]'") from None
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=_PROJECTIONS)
    inject_adapter_in_model(config, language_model)


def is_adapter(name: str) -> bool:
    """Whether a parameter, by its name, is an adapter's."""
    return _ADAPTER in name


@torch.no_grad()
def merged_weights(model: nn.Module) -> dict[str, Tensor]:
    """The model's weights by the names they have without adapters, which are added in (on the CPU)."""
    modules: dict[str, Any] = dict(model.named_modules())
    found: dict[str, Tensor] = {}
    for name, weight in model.named_parameters():
        owner, is_adapted, leaf = name.partition(_OWN)
        if not is_adapted:
            found |= {} if is_adapter(name) else {name: weight}
        elif leaf == "weight":
            whole = weight + modules[owner].get_delta_weight("default").to(weight.dtype)
            found[f"{owner}.weight"] = whole.cpu()
        else:
            found[f"{owner}.{leaf}"] = weight
    return found
