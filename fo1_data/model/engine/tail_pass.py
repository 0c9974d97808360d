"""A decoder pass over tokens of questions, behind what the slots of these questions hold.

Shapes: n questions, Q tokens of each, W of them whose states are wanted, D language model width, A query
heads, K key-value heads, E head width.
"""

import torch
from torch import Tensor

from fo1_data.model.engine.fused_decoder import FusedDecoder
from fo1_data.model.engine.prefix_cache import PrefixStack
from fo1_data.model.engine.shared_attention import Grouping, QuestionAttention
from fo1_data.model.engine.tails import Tails
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.rotary import rotary_frequencies, text_cos_sin


class TailPass:
    """Needs nothing of the host: all that depends on the questions is in tensors of the device."""

    def __init__(self, model: Fo1Model, decoder: FusedDecoder, tails: Tails) -> None:
        text = model.config.text
        self._model, self._decoder, self.tails = model, decoder, tails
        self.num_heads = text.num_key_value_heads
        self._groups = text.num_attention_heads // text.num_key_value_heads
        self._last = text.num_hidden_layers - 1
        self._frequencies = rotary_frequencies(text).to(model.device)

    def run(
        self,
        ids_nQ: Tensor,
        places_nQ: Tensor,
        starts_n: Tensor,
        slots: slice,
        extent: int,
        stack: PrefixStack,
        grouping: Grouping,
        wanted_nW: Tensor | None = None,
    ) -> Tensor:
        """Run tokens at these places of the tails in these slots; returns the states (n, W, D) after them.

        starts_n: the position of the first tail token. extent: the number of tail tokens to attend to.
        wanted_nW: indices along Q; None for all of them.
        """
        num, num_tokens = ids_nQ.shape
        where = self.tails.places_of(slots.start, places_nQ)
        attention = last_attention = self._attention(grouping, places_nQ, extent)
        wanted_U = None
        if wanted_nW is not None:
            last_attention = self._attention(grouping, places_nQ.gather(1, wanted_nW), extent)
            rows_n1 = torch.arange(num, device=ids_nQ.device)[:, None] * num_tokens
            wanted_U = (rows_n1 + wanted_nW).flatten()

        def attend(layer: int, queries_UAE: Tensor, keys_values_T2KE: Tensor) -> Tensor:
            self.tails.write(layer, where, keys_values_T2KE.unflatten(0, (num, num_tokens)))
            part = last_attention if layer == self._last else attention
            prefix_keys, prefix_values = stack.keys_values[layer]
            return part.attend(
                queries_UAE, prefix_keys, prefix_values, *self.tails.read(layer, slots, extent)
            )

        positions_T = (starts_n[:, None] + places_nQ).flatten()
        cos_TE, sin_TE = text_cos_sin(positions_T, self._frequencies)
        embeds_TD = self._model.embed_tokens(ids_nQ.flatten())
        return self._decoder.run(embeds_TD, cos_TE, sin_TE, attend, wanted_U).unflatten(0, (num, -1))

    def _attention(self, grouping: Grouping, places_nQ: Tensor, extent: int) -> QuestionAttention:
        return QuestionAttention(grouping, places_nQ, extent, self.num_heads, self._groups)
