"""The language model of every base: a decoder as Qwen's (arXiv 2412.15115), attention left to the caller.

So the engine can store keys and values where it likes, and attend to a prefix that many questions share.
The names of the weights are those of the bases.

Shapes: `...` tokens in any leading shape, D language model width, A query heads, K key-value heads, E head
width, G layers that take deep features, N tokens that get them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fo1_data.model.bases.family import TextConfig
from fo1_data.model.layers import GatedFeedForward, RMSNorm, initialise
from fo1_data.model.rotary import rotate

# (layer index, queries (..., A, E), keys (..., K, E), values (..., K, E)) -> attended values (..., A, E)
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class DeepFeatures:
    """What the first G layers add to their output at some tokens (DeepStack, arXiv 2406.04334).

    rows_N: these tokens, as indices of the flattened leading shape. values_GND: for each layer.
    """

    rows_N: Tensor
    values_GND: Tensor

    def add(self, layer: int, states: Tensor) -> Tensor:
        """The states (..., D) after a layer with its features added."""
        if layer >= len(self.values_GND):
            return states
        values_ND = self.values_GND[layer].to(states.dtype)
        return states.flatten(0, -2).index_add(0, self.rows_N, values_ND).view_as(states)

    def moved(self, num_rows: int) -> "DeepFeatures":
        """The same features, so many tokens further on."""
        return DeepFeatures(self.rows_N + num_rows, self.values_GND)


def join_deep(parts: Sequence[DeepFeatures | None], stride: int) -> DeepFeatures | None:
    """The features of sequences of `stride` tokens each, one behind the other; None if there are none."""
    found = [deep.moved(number * stride) for number, deep in enumerate(parts) if deep is not None]
    if not found:
        return None
    return DeepFeatures(
        torch.cat([deep.rows_N for deep in found]), torch.cat([deep.values_GND for deep in found], dim=1)
    )


class Decoder(nn.Module):
    """Embeddings, layers and the final norm."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        table_VD = torch.empty(config.vocab_size, config.hidden_size)
        self.embed_tokens = nn.Embedding.from_pretrained(table_VD, freeze=False)
        self.layers = nn.ModuleList([DecoderLayer(config) for _ in range(config.num_hidden_layers)])
        self.norm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.apply(initialise)

    def forward(
        self,
        embeds: Tensor,
        cos: Tensor,
        sin: Tensor,
        attend: Attend,
        *,
        deep: DeepFeatures | None = None,
        recompute: bool = False,
        wanted_BN: Tensor | None = None,
    ) -> Tensor:
        """Run all layers over embeds (..., D); returns the states (..., D) after the final norm.

        cos, sin: rotation tables (..., E). deep: features to add after layers. recompute: keep only
        each layer's input, and run the layer again in the backward pass (training). wanted_BN: of embeds
        (B, L, D), the tokens whose states are wanted, (B, N, D): the last layer computes no others, and its
        `attend` is given their queries alone.
        """
        states = embeds
        cos, sin = cos.unsqueeze(-2).to(states.dtype), sin.unsqueeze(-2).to(states.dtype)
        last = len(self.layers) - 1
        # Deep features of the last layer name their tokens among all.
        early = deep is not None and len(deep.values_GND) > last
        for index, layer in enumerate(self.layers):
            wanted = wanted_BN if index == last and not early else None
            if recompute:
                states = checkpoint(layer, index, states, cos, sin, attend, wanted, use_reentrant=False)
            else:
                states = layer(index, states, cos, sin, attend, wanted)
            if deep is not None:
                states = deep.add(index, states)
        if wanted_BN is not None and early:
            states = take_tokens(states, wanted_BN)
        return self.norm(states)


class DecoderLayer(nn.Module):
    """Attention and a feed-forward part, both as residuals."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.self_attn = DecoderAttention(config)
        self.mlp = GatedFeedForward(
            config.hidden_size, config.intermediate_size, config.hidden_act, has_bias=False
        )
        self.input_layernorm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(
        self,
        index: int,
        states: Tensor,
        cos: Tensor,
        sin: Tensor,
        attend: Attend,
        wanted_BN: Tensor | None = None,
    ) -> Tensor:
        """cos, sin: (..., 1, E). wanted_BN: the tokens of states (B, L, D) to return, (B, N, D)."""
        attended = self.self_attn(index, self.input_layernorm(states), cos, sin, attend, wanted_BN)
        states = (states if wanted_BN is None else take_tokens(states, wanted_BN)) + attended
        return states + self.mlp(self.post_attention_layernorm(states))


class DecoderAttention(nn.Module):
    """The projections around the attention."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        query_width, key_width = (
            heads * config.head_dim for heads in (config.num_attention_heads, config.num_key_value_heads)
        )
        self.q_proj = nn.Linear(config.hidden_size, query_width, bias=config.has_qkv_bias)
        self.k_proj = nn.Linear(config.hidden_size, key_width, bias=config.has_qkv_bias)
        self.v_proj = nn.Linear(config.hidden_size, key_width, bias=config.has_qkv_bias)
        if config.norms_heads:
            self.q_norm = RMSNorm(config.head_dim, eps=config.rms_norm_eps)
            self.k_norm = RMSNorm(config.head_dim, eps=config.rms_norm_eps)
        self.norms_heads = config.norms_heads
        self.o_proj = nn.Linear(query_width, config.hidden_size, bias=False)

    def forward(
        self,
        index: int,
        normed: Tensor,
        cos: Tensor,
        sin: Tensor,
        attend: Attend,
        wanted_BN: Tensor | None = None,
    ) -> Tensor:
        asking, query_cos, query_sin = normed, cos, sin
        if wanted_BN is not None:
            asking = take_tokens(normed, wanted_BN)
            query_cos, query_sin = (take_tokens(table, wanted_BN) for table in (cos, sin))
        queries = self.q_proj(asking).unflatten(-1, (-1, self.head_dim))
        keys, values = (
            project(normed).unflatten(-1, (-1, self.head_dim)) for project in (self.k_proj, self.v_proj)
        )
        if self.norms_heads:
            queries, keys = self.q_norm(queries), self.k_norm(keys)
        attended = attend(index, rotate(queries, query_cos, query_sin), rotate(keys, cos, sin), values)
        return self.o_proj(attended.flatten(-2))


def take_tokens(values: Tensor, places_BN: Tensor) -> Tensor:
    """The values (B, N, ...) at some places of each sequence, of values (B, L, ...)."""
    return values[torch.arange(len(values), device=values.device)[:, None], places_BN]
