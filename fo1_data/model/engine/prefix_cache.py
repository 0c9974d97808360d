"""Keys and values of open images' prefixes: prefilled on demand, cached within a bound, stacked for a batch.

Shapes: B prefixes, layers of the decoder, A query heads, K key-value heads, P prefix length, E head width,
T tokens of a pass.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fo1_data.model.decoder import join_deep
from fo1_data.model.engine.fused_decoder import FusedDecoder
from fo1_data.model.engine.memory import MemoryBudget
from fo1_data.model.engine.shapes import Shapes
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.region_fusion import PromptEmbeds
from fo1_data.model.rotary import cos_sin


@dataclass(frozen=True)
class PrefixStack:
    """Several prefixes, padded to one length.

    keys_values: (layers, 2, B, K, P, E). bias: (B, 1, P) in the model's dtype, minus infinity on padding.
    row: the place in the stack of each prefix number. version: changes with the address of kept memory.
    """

    keys_values: Tensor
    bias: Tensor
    row: dict[int, int]
    version: int


class PrefixCache:
    """Prefilled prefixes by number, (layers, 2, K, P, E). The least recently used leave over the bound.

    shapes: of the stacks. keeps_stack: if True, all stacks use the same memory, which is kept.
    """

    def __init__(
        self,
        model: Fo1Model,
        decoder: FusedDecoder,
        budget: MemoryBudget,
        shapes: Shapes,
        *,
        keeps_stack: bool = False,
    ) -> None:
        self._model, self._decoder = model, decoder
        self._max_bytes, self._shapes, self._keeps_stack = budget.prefix_cache, shapes, keeps_stack
        self._prefixes: OrderedDict[int, Tensor] = OrderedDict()
        self._storage = torch.empty(0, device=model.device, dtype=model.dtype)
        self._version = 0
        self.num_bytes = 0
        text = model.config.text
        bytes_per_value = torch.finfo(model.dtype).bits // 8
        self.bytes_per_token = (
            2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * bytes_per_value
        )
        heads = text.num_attention_heads + 2 * text.num_key_value_heads
        layers_with_deep = model.config.vision.num_deep
        widths = (
            (4 + layers_with_deep) * text.hidden_size + 2 * heads * text.head_dim + 4 * text.intermediate_size
        )
        self._max_pass_tokens = budget.decoder_pass // (self.bytes_per_token + widths * bytes_per_value)

    def drop(self, number: int) -> None:
        """Free a prefix; nothing happens if it is not cached."""
        prefix = self._prefixes.pop(number, None)
        if prefix is not None:
            self.num_bytes -= prefix.nbytes

    def clear(self) -> None:
        """Free all prefixes and the kept stack."""
        self._prefixes.clear()
        self.num_bytes = 0
        self._storage = self._storage.new_empty(0)
        self._version += 1

    def stack(self, prompts: Mapping[int, PromptEmbeds]) -> PrefixStack:
        """Stack the prefixes of these prompts, by prefix number; those not cached are prefilled first."""
        lengths = torch.tensor([len(prompt.embeds) for prompt in prompts.values()])
        num, longest = self._shapes.stack(len(prompts), int(lengths.max()))
        stacked = self._new_stack(num, longest)
        row = {number: place for place, number in enumerate(prompts)}
        missing = [number for number in prompts if number not in self._prefixes]
        for number in prompts:
            if number in self._prefixes:
                self._prefixes.move_to_end(number)
                _put(stacked, row[number], self._prefixes[number])
        for numbers in self._passes(missing, prompts):
            prefilled = self._prefill([prompts[number] for number in numbers])
            for index, number in enumerate(numbers):
                prefix = prefilled[:, :, index, :, : len(prompts[number].embeds)]
                _put(stacked, row[number], prefix)
                self._store(number, prefix)
        stacked[:, :, len(prompts) :].zero_()
        # A place without a prefix sees one key, so that its scores stay numbers.
        visible = torch.cat((lengths, torch.ones(num - len(prompts), dtype=torch.long)))
        bias_BP = torch.zeros(num, longest, dtype=stacked.dtype)
        bias_BP.masked_fill_(torch.arange(longest) >= visible[:, None], float("-inf"))
        return PrefixStack(
            stacked, bias_BP[:, None].to(stacked.device, non_blocking=True), row, self._version
        )

    def _new_stack(self, num: int, longest: int) -> Tensor:
        """(layers, 2, num, K, longest, E), with any values."""
        text = self._model.config.text
        shape = text.num_hidden_layers, 2, num, text.num_key_value_heads, longest, text.head_dim
        if not self._keeps_stack:
            return self._storage.new_empty(shape)
        if self._storage.numel() < prod(shape):
            self._storage = self._storage.new_empty(prod(shape))
            self._version += 1
        return self._storage[: prod(shape)].view(shape)

    def _store(self, number: int, prefix: Tensor) -> None:
        """Cache a prefix if it fits, and evict the least recently used over the bound."""
        if prefix.nbytes > self._max_bytes:
            return
        while self.num_bytes + prefix.nbytes > self._max_bytes:
            self.drop(next(iter(self._prefixes)))
        self._prefixes[number] = prefix.clone()
        self.num_bytes += prefix.nbytes

    def _passes(self, numbers: Sequence[int], prompts: Mapping[int, PromptEmbeds]) -> list[list[int]]:
        """Divide prefixes among passes of prompts of about one length, padded, within the limit of tokens.

        A prompt over the limit has a pass of its own.
        """
        passes: list[list[int]] = []
        longest = 0
        for number in sorted(numbers, key=lambda number: -len(prompts[number].embeds)):
            if not passes or (len(passes[-1]) + 1) * longest > self._max_pass_tokens:
                passes.append([])
                longest = len(prompts[number].embeds)
            passes[-1].append(number)
        return passes

    def _prefill(self, prompts: Sequence[PromptEmbeds]) -> Tensor:
        """Keys and values (layers, 2, B, K, P, E) of prompts, P the longest.

        Prompts are padded on the right and attention is causal, so no token attends to padding.
        """
        model, text = self._model, self._model.config.text
        embeds_BPD = torch.nn.utils.rnn.pad_sequence([p.embeds for p in prompts], batch_first=True)
        num, longest, _ = embeds_BPD.shape
        positions_3BP = torch.zeros(3, num, longest, dtype=torch.long)
        for index, prompt in enumerate(prompts):
            positions_3BP[:, index, : len(prompt.embeds)] = prompt.positions
        cos_TE, sin_TE = cos_sin(positions_3BP.flatten(1).to(model.device, non_blocking=True), text)
        prefilled = embeds_BPD.new_empty(
            text.num_hidden_layers, 2, num, text.num_key_value_heads, longest, text.head_dim
        )

        def attend(layer: int, queries_TAE: Tensor, keys_values_T2KE: Tensor) -> Tensor:
            prefilled[layer] = keys_values_T2KE.unflatten(0, (num, longest)).permute(2, 0, 3, 1, 4)
            if layer == text.num_hidden_layers - 1:
                return queries_TAE  # not used: the run ends here
            queries = queries_TAE.unflatten(0, (num, longest)).transpose(1, 2)
            attended = scaled_dot_product_attention(
                queries, prefilled[layer, 0], prefilled[layer, 1], is_causal=True, enable_gqa=True
            )
            return attended.transpose(1, 2).flatten(2).flatten(0, 1)

        deep = join_deep([prompt.deep for prompt in prompts], longest)
        self._decoder.run_keys(embeds_BPD.flatten(0, 1), cos_TE, sin_TE, attend, deep)
        return prefilled


def _put(stacked: Tensor, row: int, prefix: Tensor) -> None:
    """Copy a prefix (layers, 2, K, P, E) to its place, and zeros behind it."""
    length = prefix.shape[3]
    stacked[:, :, row, :, :length] = prefix
    stacked[:, :, row, :, length:] = 0
