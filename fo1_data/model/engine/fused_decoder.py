"""Qwen2.5's decoder for inference, with fewer and larger products than the modules it is made of.

The queries, keys and values of a layer are one product, as are its gate and up projections. The weights are
the modules' own: their parameters become views of the joined weights, which take no further memory.

Shapes: `...` tokens in any leading shape, D language model width, F width inside the feed-forward part, A
query heads, K key-value heads, E head width, n rows, Q tokens of each, W wanted tokens of each.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, rms_norm

from fo1_data.model.decoder import Attend, Decoder
from fo1_data.model.layers import ACTIVATIONS


@dataclass(frozen=True)
class _Layer:
    """The weights of a layer. qkv: ((A + 2 * K) * E, D). gate_up: (2 * F, D)."""

    input_norm_D: Tensor
    qkv: Tensor
    qkv_bias: Tensor
    output: Tensor
    inner_norm_D: Tensor
    gate_up: Tensor
    down: Tensor


class FusedDecoder:
    """Runs the layers of a decoder with the attention left to the caller, as `Decoder` does.

    cos, sin: rotation tables (..., E) of the tokens, as `cos_sin` makes them.
    """

    def __init__(self, decoder: Decoder) -> None:
        config = decoder.config
        self._head_dim = config.head_dim
        self._num_queries, self._num_keys = config.num_attention_heads, config.num_key_value_heads
        self._epsilon = config.rms_norm_eps
        self._activate = ACTIVATIONS[config.hidden_act]
        self._norm = decoder.norm.weight
        self._layers = [_fuse(layer) for layer in decoder.layers]

    def run(
        self, embeds: Tensor, cos: Tensor, sin: Tensor, attend: Attend, wanted_nW: Tensor | None = None
    ) -> Tensor:
        """Run all layers over embeds (..., D); returns the states (..., D) after the final norm.

        wanted_nW: of embeds (n, Q, D), the places of the tokens whose states are wanted. The last layer then
        runs for these alone, `attend` gets its queries as (n, W, A, E), and the states are (n, W, D).
        """
        states = embeds
        cos, sin = _tables(cos, sin, states.dtype)
        for index, layer in enumerate(self._layers):
            normed = self._normed(states, layer.input_norm_D)
            if wanted_nW is not None and layer is self._layers[-1]:
                keys, values = self._keys_values(layer, normed, cos, sin)
                states, normed, cos, sin = (_pick(part, wanted_nW) for part in (states, normed, cos, sin))
                queries = self._queries(layer, normed, cos, sin)
            else:
                queries, keys, values = self._project(layer, normed, cos, sin)
            states = self._finish(layer, states, attend(index, queries, keys, values))
        return self._normed(states, self._norm)

    def run_keys(self, embeds: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> None:
        """Run until `attend` has received the keys and values of the last layer: all that a prefix needs."""
        states = embeds
        cos, sin = _tables(cos, sin, states.dtype)
        for index, layer in enumerate(self._layers):
            queries, keys, values = self._project(layer, self._normed(states, layer.input_norm_D), cos, sin)
            attended = attend(index, queries, keys, values)
            if layer is not self._layers[-1]:
                states = self._finish(layer, states, attended)

    def _project(self, layer: _Layer, normed: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        """Queries (..., A, E) and keys (..., K, E), both rotated, and values (..., K, E)."""
        heads = linear(normed, layer.qkv, layer.qkv_bias).unflatten(-1, (-1, self._head_dim))
        num_turned = self._num_queries + self._num_keys
        turned = _rotate(heads[..., :num_turned, :], cos, sin)
        return (
            turned[..., : self._num_queries, :],
            turned[..., self._num_queries :, :],
            heads[..., num_turned:, :],
        )

    def _queries(self, layer: _Layer, normed: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        end = self._num_queries * self._head_dim
        heads = linear(normed, layer.qkv[:end], layer.qkv_bias[:end]).unflatten(-1, (-1, self._head_dim))
        return _rotate(heads, cos, sin)

    def _keys_values(self, layer: _Layer, normed: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        start = self._num_queries * self._head_dim
        heads = linear(normed, layer.qkv[start:], layer.qkv_bias[start:]).unflatten(-1, (-1, self._head_dim))
        return _rotate(heads[..., : self._num_keys, :], cos, sin), heads[..., self._num_keys :, :]

    def _finish(self, layer: _Layer, states: Tensor, attended: Tensor) -> Tensor:
        """The states (..., D) after a layer, from those before it and the attended values (..., A, E)."""
        states = states + linear(attended.flatten(-2), layer.output)
        gate, up = linear(self._normed(states, layer.inner_norm_D), layer.gate_up).chunk(2, dim=-1)
        return states + linear(self._activate(gate) * up, layer.down)

    def _normed(self, states: Tensor, weight: Tensor) -> Tensor:
        return rms_norm(states, (states.shape[-1],), weight, self._epsilon)


def _tables(cos: Tensor, sin: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines (..., 1, E), the sines of the first half negated, for `_rotate`."""
    first, second = sin.chunk(2, dim=-1)
    signed = torch.cat((-first, second), dim=-1)
    return cos.unsqueeze(-2).to(dtype), signed.unsqueeze(-2).to(dtype)


def _rotate(states: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
    """Rotate states (..., heads, E) by tables of `_tables`."""
    first, second = states.chunk(2, dim=-1)
    return torch.addcmul(states * cos, torch.cat((second, first), dim=-1), signed_sin)


def _pick(parts: Tensor, places_nW: Tensor) -> Tensor:
    """The rows at places of (n, Q, ...) as (n, W, ...)."""
    index = places_nW.view(*places_nW.shape, *[1] * (parts.dim() - 2)).expand(-1, -1, *parts.shape[2:])
    return parts.gather(1, index)


def _fuse(layer: Any) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    projections = attention.q_proj, attention.k_proj, attention.v_proj
    return _Layer(
        input_norm_D=layer.input_layernorm.weight,
        qkv=_joined([projection.weight for projection in projections]),
        qkv_bias=_joined([projection.bias for projection in projections]),
        output=attention.o_proj.weight,
        inner_norm_D=layer.post_attention_layernorm.weight,
        gate_up=_joined([mlp.gate_proj.weight, mlp.up_proj.weight]),
        down=mlp.down_proj.weight,
    )


def _joined(parameters: list[nn.Parameter]) -> Tensor:
    """The parameters joined along their first dimension; they become views of the result."""
    ends, end = [], parameters[0].data_ptr()
    for parameter in parameters:
        ends.append(end == parameter.data_ptr())
        end = parameter.data_ptr() + parameter.nbytes
    if all(ends) and len({parameter.untyped_storage().data_ptr() for parameter in parameters}) == 1:
        first, num_rows = parameters[0].detach(), sum(map(len, parameters))
        return first.as_strided((num_rows, *first.shape[1:]), first.stride())
    joined = torch.cat([parameter.detach() for parameter in parameters])
    for parameter, part in zip(parameters, joined.split([len(p) for p in parameters]), strict=True):
        parameter.data = part
    return joined
