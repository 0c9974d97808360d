"""Qwen2.5's decoder, run layer by layer with the attention step left to the caller.

The modules and weights are transformers' own. Only the order of calls is in this file, so that the engine
can store keys and values where it likes and attend to a prefix that many questions share.

Shapes: `...` tokens in any leading shape, D language model width, A query heads, K key-value heads, E head
width.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

from fo1_data.model.configuration import TextConfig
from fo1_data.model.rotary import rotate

# (layer index, queries (..., A, E), keys (..., K, E), values (..., K, E)) -> attended values (..., A, E)
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
    """Run all layers; returns the states (..., D) after the final norm.

    embeds: (..., D). cos, sin: rotation tables (..., E). keys_only: return None once `attend` has received
    the keys and values of the last layer, which is all that a prefix needs. recompute: keep only each
    layer's input, and run the layer again in the backward pass (training).
    """
    states = embeds
    cos, sin = cos.unsqueeze(-2).to(states.dtype), sin.unsqueeze(-2).to(states.dtype)
    last = len(decoder.layers) - 1
    layers: Any = decoder.layers
    for index, layer in enumerate(layers):
        if keys_only and index == last:
            _attend(layer, index, states, cos, sin, attend)
            return None
        if recompute:
            states = checkpoint(_run_layer, layer, index, states, cos, sin, attend, use_reentrant=False)
        else:
            states = _run_layer(layer, index, states, cos, sin, attend)
    return decoder.norm(states)


def _run_layer(layer: Any, index: int, states: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
    attended = _attend(layer, index, states, cos, sin, attend)
    states = states + layer.self_attn.o_proj(attended.flatten(-2))
    return states + layer.mlp(layer.post_attention_layernorm(states))


def _attend(layer: Any, index: int, states: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
    """The attended values (..., A, E) of a layer, from its input states (..., D)."""
    attention, normed = layer.self_attn, layer.input_layernorm(states)
    by_head = (*normed.shape[:-1], -1, attention.head_dim)
    queries, keys, values = (
        project(normed).view(by_head) for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    return attend(index, rotate(queries, cos, sin), rotate(keys, cos, sin), values)
