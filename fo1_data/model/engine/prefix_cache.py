"""Keys and values of open images' prefixes: made on demand, kept within a bound, stacked for a batch.

Shapes: B images, layers the decoder's, K key-value heads, P prefix length, E head width.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fo1_data.model.decoder import run_decoder
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.region_fusion import PromptEmbeds
from fo1_data.model.rotary import cos_sin


@dataclass(frozen=True)
class PrefixStack:
    """Prefixes of several images padded to one length.

    keys, values: (layers, B, K, P, E); bias: (B, 1, 1, P), minus infinity on padding; row: which
    image is where.
    """

    keys: Tensor
    values: Tensor
    bias: Tensor
    row: dict[int, int]


class PrefixCache:
    """Prefilled prefixes by their number, least recently used out first once over `max_bytes`."""

    def __init__(self, model: Fo1Model, max_bytes: int) -> None:
        self._model = model
        self._max_bytes = max_bytes
        self._held: OrderedDict[int, Tensor] = OrderedDict()
        self.held_bytes = 0
        text = model.config.text
        per_value = torch.finfo(model.dtype).bits // 8
        self.bytes_per_token = (
            2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * per_value
        )

    def drop(self, number: int) -> None:
        held = self._held.pop(number, None)
        if held is not None:
            self.held_bytes -= held.nbytes

    def clear(self) -> None:
        self._held.clear()
        self.held_bytes = 0

    def stack(self, prompts: dict[int, PromptEmbeds]) -> PrefixStack:
        """Prefixes of these images as one padded stack; those not held are prefilled first."""
        missing = [number for number in prompts if number not in self._held]
        made = (
            dict(zip(missing, self._prefill([prompts[n] for n in missing]), strict=True)) if missing else {}
        )
        chosen = {number: made.get(number, self._held.get(number)) for number in prompts}
        lengths = [prompts[number].embeds.shape[0] for number in prompts]
        first = next(iter(chosen.values()))
        assert first is not None
        layers, _, heads, _, width = first.shape
        stacked = first.new_zeros(2, layers, len(chosen), heads, max(lengths), width)
        for row, (held, length) in enumerate(zip(chosen.values(), lengths, strict=True)):
            assert held is not None
            stacked[:, :, row, :, :length] = held.transpose(0, 1)
        self._keep(made, list(prompts))
        columns = torch.arange(max(lengths), device=first.device)
        padded = columns >= torch.tensor(lengths, device=first.device)[:, None]
        bias = torch.zeros(padded.shape, device=first.device).masked_fill(padded, float("-inf"))
        rows = {number: row for row, number in enumerate(prompts)}
        return PrefixStack(stacked[0], stacked[1], bias[:, None, None], rows)

    def _keep(self, made: dict[int, Tensor], used: list[int]) -> None:
        for number, held in made.items():
            self._held[number] = held
            self.held_bytes += held.nbytes
        for number in used:
            if number in self._held:
                self._held.move_to_end(number)
        while self.held_bytes > self._max_bytes and self._held:
            self.drop(next(iter(self._held)))

    def _prefill(self, prompts: Sequence[PromptEmbeds]) -> list[Tensor]:
        """Keys and values of each prompt: a list of (layers, 2, K, P_i, E).

        Prompts are padded on the right and attention is causal, so no token sees padding.
        """
        model, text = self._model, self._model.config.text
        lengths = [prompt.embeds.shape[0] for prompt in prompts]
        embeds = torch.nn.utils.rnn.pad_sequence([p.embeds for p in prompts], batch_first=True)
        num, longest, _ = embeds.shape
        positions = torch.zeros(3, num, longest, dtype=torch.long)
        for index, prompt in enumerate(prompts):
            positions[:, index, : lengths[index]] = prompt.positions
        tables = cos_sin(
            positions.flatten(1).to(model.device),
            model.language_model.rotary_emb.inv_freq,
            text.mrope_section,
        )
        cos, sin = (table.view(num, longest, -1) for table in tables)
        kept = embeds.new_zeros(
            text.num_hidden_layers, 2, num, text.num_key_value_heads, longest, text.head_dim
        )

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            keys, values = keys.transpose(1, 2), values.transpose(1, 2)
            kept[layer, 0], kept[layer, 1] = keys, values
            if layer == text.num_hidden_layers - 1:
                return queries
            attended = scaled_dot_product_attention(
                queries.transpose(1, 2), keys, values, is_causal=True, enable_gqa=True
            )
            return attended.transpose(1, 2)

        run_decoder(model.language_model, embeds, cos, sin, attend, keys_only=True)
        return [kept[:, :, index, :, :length].clone() for index, length in enumerate(lengths)]
