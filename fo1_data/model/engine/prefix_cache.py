"""Keys and values of open images' prefixes: prefilled on demand, cached within a bound, stacked for a batch.

Shapes: B prefixes, layers of the decoder, A query heads, K key-value heads, P prefix length, E head width,
D language model width.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fo1_data.model.engine.fused_decoder import FusedDecoder
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.region_fusion import PromptEmbeds
from fo1_data.model.rotary import cos_sin


@dataclass(frozen=True)
class PrefixStack:
    """Several prefixes, padded to one length.

    keys, values: (layers, B, K, P, E). bias: (B, 1, 1, P), minus infinity on padding. row: the place in
    the stack of each prefix number.
    """

    keys: Tensor
    values: Tensor
    bias: Tensor
    row: dict[int, int]


class PrefixCache:
    """Prefilled prefixes by number. Over `max_bytes`, the least recently used are evicted."""

    def __init__(self, model: Fo1Model, decoder: FusedDecoder, max_bytes: int) -> None:
        self._model, self._decoder = model, decoder
        self._max_bytes = max_bytes
        self._prefixes: OrderedDict[int, Tensor] = OrderedDict()
        self.num_bytes = 0
        text = model.config.text
        bytes_per_value = torch.finfo(model.dtype).bits // 8
        self.bytes_per_token = (
            2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * bytes_per_value
        )

    def drop(self, number: int) -> None:
        """Free a prefix; nothing happens if it is not cached."""
        prefix = self._prefixes.pop(number, None)
        if prefix is not None:
            self.num_bytes -= prefix.nbytes

    def clear(self) -> None:
        """Free all prefixes."""
        self._prefixes.clear()
        self.num_bytes = 0

    def stack(self, prompts: Mapping[int, PromptEmbeds]) -> PrefixStack:
        """Stack the prefixes of these prompts, by prefix number; those not cached are prefilled first."""
        missing = [number for number in prompts if number not in self._prefixes]
        prefilled = self._prefill([prompts[number] for number in missing]) if missing else []
        prefixes = self._prefixes | dict(zip(missing, prefilled, strict=True))
        lengths = [len(prompt.embeds) for prompt in prompts.values()]
        text = self._model.config.text
        stacked = torch.zeros(
            (2, text.num_hidden_layers, len(prompts), text.num_key_value_heads, max(lengths), text.head_dim),
            device=self._model.device,
            dtype=self._model.dtype,
        )
        for row, (number, length) in enumerate(zip(prompts, lengths, strict=True)):
            stacked[:, :, row, :, :length] = prefixes[number]
        self._store(dict(zip(missing, prefilled, strict=True)), list(prompts))
        places = torch.arange(max(lengths), device=stacked.device)
        is_padding = places >= torch.tensor(lengths, device=stacked.device)[:, None]
        bias = stacked.new_zeros(is_padding.shape).masked_fill(is_padding, float("-inf"))
        keys, values = stacked
        return PrefixStack(keys, values, bias[:, None, None], {n: row for row, n in enumerate(prompts)})

    def _store(self, prefilled: Mapping[int, Tensor], used: Sequence[int]) -> None:
        """Cache new prefixes, mark the used ones as recent, and evict the least recent over the bound."""
        for number, prefix in prefilled.items():
            self._prefixes[number] = prefix
            self.num_bytes += prefix.nbytes
        for number in used:
            self._prefixes.move_to_end(number)
        while self.num_bytes > self._max_bytes and self._prefixes:
            self.drop(next(iter(self._prefixes)))

    def _prefill(self, prompts: Sequence[PromptEmbeds]) -> list[Tensor]:
        """Keys and values of each prompt, (2, layers, K, P, E) with the prompt's own P.

        Prompts are padded on the right and attention is causal, so no token attends to padding.
        """
        model, text = self._model, self._model.config.text
        lengths = [len(prompt.embeds) for prompt in prompts]
        embeds_BPD = torch.nn.utils.rnn.pad_sequence([p.embeds for p in prompts], batch_first=True)
        num, longest, _ = embeds_BPD.shape
        positions_3BP = torch.zeros(3, num, longest, dtype=torch.long)
        for index, prompt in enumerate(prompts):
            positions_3BP[:, index, : lengths[index]] = prompt.positions
        tables = cos_sin(positions_3BP.flatten(1).to(model.device), text)
        cos, sin = (table.view(num, longest, -1) for table in tables)
        cached = embeds_BPD.new_zeros(
            2, text.num_hidden_layers, num, text.num_key_value_heads, longest, text.head_dim
        )

        def attend(layer: int, queries_BPAE: Tensor, keys_BPKE: Tensor, values_BPKE: Tensor) -> Tensor:
            keys, values = keys_BPKE.transpose(1, 2), values_BPKE.transpose(1, 2)
            cached[0, layer], cached[1, layer] = keys, values
            if layer == text.num_hidden_layers - 1:
                return queries_BPAE  # not used: the run ends here
            attended = scaled_dot_product_attention(
                queries_BPAE.transpose(1, 2), keys, values, is_causal=True, enable_gqa=True
            )
            return attended.transpose(1, 2)

        self._decoder.run_keys(embeds_BPD, cos, sin, attend)
        return [cached[:, :, index, :, :length].clone() for index, length in enumerate(lengths)]
