"""The decoder for inference, with fewer and larger products than the modules it is made of.

The queries, keys and values of a layer are one product, as are its gate and up projections. The weights are
the modules' own: their parameters become views of the joined weights, which take no further memory.

Shapes: T tokens, U of them whose states are wanted, D language model width, F width inside the feed-forward
part, A query heads, K key-value heads, E head width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, rms_norm

from fo1_data.model.decoder import Decoder, DeepFeatures
from fo1_data.model.engine.wide_product import wide_product
from fo1_data.model.layers import ACTIVATIONS

# (layer index, queries (U, A, E), keys and values (T, 2, K, E)) -> attended values (U, A * E)
Attend = Callable[[int, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class _Layer:
    """The weights of a layer. qkv: ((A + 2 * K) * E, D). gate_up: (2 * F, D).

    head_norms: (A + K, E), the weight of each query's and key's norm; None: they have no norms.
    """

    input_norm_D: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    head_norms: Tensor | None
    output: Tensor
    inner_norm_D: Tensor
    gate_up: Tensor
    down: Tensor


class FusedDecoder:
    """Runs the layers of a decoder with the attention left to the caller, as `Decoder` does.

    cos, sin: rotation tables (T, E) of the tokens, as `cos_sin` makes them.
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
        self,
        embeds_TD: Tensor,
        cos_TE: Tensor,
        sin_TE: Tensor,
        attend: Attend,
        wanted_U: Tensor | None = None,
    ) -> Tensor:
        """Run all layers over embeds; returns the states (T, D) after the final norm.

        wanted_U: the tokens whose states are wanted. The last layer then runs for these alone, `attend` gets
        only their queries, and the states are (U, D).
        """
        states = embeds_TD
        tables = _tables(cos_TE, sin_TE, states.dtype)
        for index, layer in enumerate(self._layers):
            normed = self._normed(states, layer.input_norm_D)
            if wanted_U is not None and layer is self._layers[-1]:
                keys_values = self._keys_values(layer, normed, *tables)
                states, normed = states[wanted_U], normed[wanted_U]
                queries = self._queries(layer, normed, *(table[wanted_U] for table in tables))
            else:
                queries, keys_values = self._project(layer, normed, *tables)
            states = self._finish(layer, states, attend(index, queries, keys_values))
        return self._normed(states, self._norm)

    def run_keys(
        self,
        embeds_TD: Tensor,
        cos_TE: Tensor,
        sin_TE: Tensor,
        attend: Attend,
        deep: DeepFeatures | None = None,
    ) -> None:
        """Run until `attend` has received the keys and values of the last layer: all that a prefix needs.

        deep: what the first layers add to their output.
        """
        states = embeds_TD
        tables = _tables(cos_TE, sin_TE, states.dtype)
        for index, layer in enumerate(self._layers):
            queries, keys_values = self._project(layer, self._normed(states, layer.input_norm_D), *tables)
            attended = attend(index, queries, keys_values)
            if layer is not self._layers[-1]:
                states = self._finish(layer, states, attended)
                if deep is not None:
                    states = deep.add(index, states)

    def _project(self, layer: _Layer, normed: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (T, A, E) and keys (T, K, E), both rotated, the keys with the values as (T, 2, K, E)."""
        heads = self._heads(normed, layer.qkv, layer.qkv_bias)
        _rotate(self._norm_heads(heads[:, : self._num_queries + self._num_keys], layer.head_norms), cos, sin)
        return heads[:, : self._num_queries], self._paired(heads[:, self._num_queries :])

    def _queries(self, layer: _Layer, normed: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        end = self._num_queries * self._head_dim
        heads = self._heads(normed, layer.qkv[:end], _part(layer.qkv_bias, slice(end)))
        norms = _part(layer.head_norms, slice(self._num_queries))
        return _rotate(self._norm_heads(heads, norms), cos, sin)

    def _keys_values(self, layer: _Layer, normed: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        start = self._num_queries * self._head_dim
        heads = self._heads(normed, layer.qkv[start:], _part(layer.qkv_bias, slice(start, None)))
        norms = _part(layer.head_norms, slice(self._num_queries, None))
        _rotate(self._norm_heads(heads[:, : self._num_keys], norms), cos, sin)
        return self._paired(heads)

    def _heads(self, normed: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return linear(normed, weight, bias).view(len(normed), -1, self._head_dim)

    def _norm_heads(self, heads: Tensor, norms: Tensor | None) -> Tensor:
        """Norm heads (T, heads, E) in place, each by its weight; as they are if there are no norms."""
        if norms is None:
            return heads
        return heads.copy_(rms_norm(heads, (self._head_dim,), None, self._epsilon).mul_(norms))

    def _paired(self, heads: Tensor) -> Tensor:
        return heads.unflatten(1, (2, self._num_keys))

    def _finish(self, layer: _Layer, states: Tensor, attended: Tensor) -> Tensor:
        """The states (U, D) after a layer, from those before it and the attended values (U, A * E)."""
        states = torch.addmm(states, attended, layer.output.t())
        gate, up = wide_product(self._normed(states, layer.inner_norm_D), layer.gate_up).chunk(2, dim=-1)
        return torch.addmm(states, self._activate(gate) * up, layer.down.t())

    def _normed(self, states: Tensor, weight: Tensor) -> Tensor:
        return rms_norm(states, (states.shape[-1],), weight, self._epsilon)


def _tables(cos_TE: Tensor, sin_TE: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines (T, 1, E), the sines of the first half negated, for `_rotate`."""
    first, second = sin_TE.chunk(2, dim=-1)
    signed_TE = torch.cat((-first, second), dim=-1)
    return cos_TE.unsqueeze(1).to(dtype), signed_TE.unsqueeze(1).to(dtype)


def _rotate(states: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
    """Rotate states (T, heads, E) by tables of `_tables`, in place."""
    first, second = states.chunk(2, dim=-1)
    swapped = torch.cat((second, first), dim=-1)
    return states.mul_(cos).addcmul_(swapped, signed_sin)


def _part(values: Tensor | None, rows: slice) -> Tensor | None:
    return None if values is None else values[rows]


def _head_norms(attention: Any) -> Tensor | None:
    """The weights (A + K, E) of the norms of queries and keys; None if they have none."""
    if not attention.norms_heads:
        return None
    queries, keys = (
        norm.weight.detach().expand(projection.out_features // attention.head_dim, -1)
        for norm, projection in ((attention.q_norm, attention.q_proj), (attention.k_norm, attention.k_proj))
    )
    return torch.cat((queries, keys))


def _fuse(layer: Any) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    projections = attention.q_proj, attention.k_proj, attention.v_proj
    return _Layer(
        input_norm_D=layer.input_layernorm.weight,
        qkv=_joined([projection.weight for projection in projections]),
        qkv_bias=(
            None
            if attention.q_proj.bias is None
            else _joined([projection.bias for projection in projections])
        ),
        head_norms=_head_norms(attention),
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
