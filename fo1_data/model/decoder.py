"""The language model: Qwen2.5's decoder (arXiv 2412.15115), with the attention left to the caller.

So the engine can store keys and values where it likes, and attend to a prefix that many questions share.
The names of the weights are the released ones.

Shapes: `...` tokens in any leading shape, D language model width, A query heads, K key-value heads, E head
width.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fo1_data.model.configuration import TextConfig
from fo1_data.model.layers import GatedFeedForward, RMSNorm, initialise
from fo1_data.model.rotary import rotate

# (layer index, queries (..., A, E), keys (..., K, E), values (..., K, E)) -> attended values (..., A, E)
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


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
        self, embeds: Tensor, cos: Tensor, sin: Tensor, attend: Attend, *, recompute: bool = False
    ) -> Tensor:
        """Run all layers over embeds (..., D); returns the states (..., D) after the final norm.

        cos, sin: rotation tables (..., E). recompute: keep only each layer's input, and run the layer again
        in the backward pass (training).
        """
        states = embeds
        cos, sin = cos.unsqueeze(-2).to(states.dtype), sin.unsqueeze(-2).to(states.dtype)
        for index, layer in enumerate(self.layers):
            if recompute:
                states = checkpoint(layer, index, states, cos, sin, attend, use_reentrant=False)
            else:
                states = layer(index, states, cos, sin, attend)
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

    def forward(self, index: int, states: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
        """cos, sin: (..., 1, E)."""
        states = states + self.self_attn(index, self.input_layernorm(states), cos, sin, attend)
        return states + self.mlp(self.post_attention_layernorm(states))


class DecoderAttention(nn.Module):
    """The projections around the attention."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        query_width, key_width = (
            heads * config.head_dim for heads in (config.num_attention_heads, config.num_key_value_heads)
        )
        self.q_proj = nn.Linear(config.hidden_size, query_width)
        self.k_proj = nn.Linear(config.hidden_size, key_width)
        self.v_proj = nn.Linear(config.hidden_size, key_width)
        self.o_proj = nn.Linear(query_width, config.hidden_size, bias=False)

    def forward(self, index: int, normed: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
        queries, keys, values = (
            project(normed).unflatten(-1, (-1, self.head_dim))
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = attend(index, rotate(queries, cos, sin), rotate(keys, cos, sin), values)
        return self.o_proj(attended.flatten(-2))
