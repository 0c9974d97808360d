"""Qwen2.5's decoder run layer by layer with the attention step left to the caller.

Holds transformers' own modules and weights; only the order of calls is here, so that the engine
can keep keys and values where it wants and attend to a prefix that many questions share.

Shapes: N tokens (any leading shape), D width, H heads, K key-value heads, E head width.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

from fo1_data.model.configuration import TextConfig
from fo1_data.model.rotary import rotate

# (layer index, queries (..., H, E), keys (..., K, E), values (..., K, E)) -> attended (..., H, E)
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


def build_decoder(config: TextConfig) -> Qwen2_5_VLTextModel:
    """Qwen2.5-VL's language model with random weights."""
    settings = Qwen2_5_VLTextConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        hidden_act=config.hidden_act,
        max_position_embeddings=config.max_position_embeddings,
        rms_norm_eps=config.rms_norm_eps,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": config.rope_theta,
            "mrope_section": list(config.mrope_section),
        },
        use_sliding_window=False,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )
    return Qwen2_5_VLTextModel._from_config(settings)


def run_decoder(
    decoder: Qwen2_5_VLTextModel,
    embeds: Tensor,
    cos: Tensor,
    sin: Tensor,
    attend: Attend,
    *,
    keys_only: bool = False,
    recompute: bool = False,
) -> Tensor | None:
    """Run all layers over embeds (..., D) with rotation tables (..., E); returns normed states (..., D).

    `keys_only` stops once the last layer's keys and values have gone to `attend` and returns None:
    a prefix needs nothing more. `recompute` keeps each layer's input alone for the way back (training).
    """
    hidden = embeds
    cos, sin = cos.unsqueeze(-2).to(hidden.dtype), sin.unsqueeze(-2).to(hidden.dtype)
    last = len(decoder.layers) - 1
    layers: Any = decoder.layers
    for index, layer in enumerate(layers):
        if keys_only and index == last:
            _attended(layer, index, hidden, cos, sin, attend)
            return None
        if recompute:
            hidden = checkpoint(_run_layer, layer, index, hidden, cos, sin, attend, use_reentrant=False)
        else:
            hidden = _run_layer(layer, index, hidden, cos, sin, attend)
    return decoder.norm(hidden)


def _run_layer(layer: Any, index: int, hidden: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
    attended = _attended(layer, index, hidden, cos, sin, attend)
    hidden = hidden + layer.self_attn.o_proj(attended.flatten(-2))
    return hidden + layer.mlp(layer.post_attention_layernorm(hidden))


def _attended(layer: Any, index: int, hidden: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
    queries, keys, values = _project(layer.self_attn, layer.input_layernorm(hidden))
    return attend(index, rotate(queries, cos, sin), rotate(keys, cos, sin), values)


def _project(attention: Any, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    heads = (*hidden.shape[:-1], -1, attention.head_dim)
    return (
        attention.q_proj(hidden).view(heads),
        attention.k_proj(hidden).view(heads),
        attention.v_proj(hidden).view(heads),
    )
