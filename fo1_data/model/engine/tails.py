"""Keys and values of the questions' own tokens, in slots.

Shapes: layers of the decoder, S slots, K key-value heads, L tail capacity, E head width, n questions,
Q tokens of each.
"""

import torch
from torch import Tensor

from fo1_data.model.modeling import Fo1Model


class Tails:
    """One tensor (2, layers, S, K, L, E) of keys and values. It grows with the tails and is kept for the next
    batch, so that a batch does not pay for its memory again.

    max_bytes: the limit on the tensor, except that a batch gets what it needs now.
    """

    def __init__(self, model: Fo1Model, max_bytes: int) -> None:
        text = model.config.text
        self._max_bytes = max_bytes
        self._keys_values = torch.zeros(
            (2, text.num_hidden_layers, 0, text.num_key_value_heads, 0, text.head_dim),
            device=model.device,
            dtype=model.dtype,
        )

    def clear(self) -> None:
        """Free the memory."""
        self._keys_values = self._keys_values[:, :, :0].clone()

    def reserve(self, num_slots: int, capacity: int) -> None:
        """Make room for at least this many slots of at least this many tokens; contents are kept."""
        old_slots, old_capacity = self._keys_values.shape[2], self._keys_values.shape[4]
        if num_slots <= old_slots and capacity <= old_capacity:
            return
        text_bytes = 2 * self._keys_values.shape[1] * self._keys_values.shape[3] * self._keys_values.shape[5]
        max_tokens = self._max_bytes // (text_bytes * self._keys_values.itemsize)
        slots = max(num_slots, old_slots)
        if slots * capacity > max_tokens:
            slots = num_slots
        shape = list(self._keys_values.shape)
        shape[2], shape[4] = slots, max(capacity, min(max(2 * capacity, old_capacity), max_tokens // slots))
        grown = self._keys_values.new_zeros(shape)
        slots, capacity = min(slots, old_slots), min(shape[4], old_capacity)
        grown[:, :, :slots, :, :capacity] = self._keys_values[:, :, :slots, :, :capacity]
        self._keys_values = grown

    def write(
        self, layer: int, slots_n1: Tensor, places_nQ: Tensor, keys_nQKE: Tensor, values_nQKE: Tensor
    ) -> None:
        """Store keys and values at places of slots."""
        self._keys_values[0, layer].transpose(1, 2)[slots_n1, places_nQ] = keys_nQKE
        self._keys_values[1, layer].transpose(1, 2)[slots_n1, places_nQ] = values_nQKE

    def read(self, layer: int, slots: slice, extent: int) -> tuple[Tensor, Tensor]:
        """Keys and values (n, K, extent, E) of the first `extent` tokens of consecutive slots."""
        keys, values = self._keys_values[:, layer, slots, :, :extent]
        return keys, values

    def copy_head(self, source: int, targets: slice, length: int) -> None:
        """Copy the first `length` tokens of one slot to other slots."""
        head = self._keys_values[:, :, source, :, :length]
        self._keys_values[:, :, targets, :, :length] = head.unsqueeze(2)

    def move(self, source: int, target: int, length: int) -> None:
        """Overwrite the first `length` tokens of the target slot with those of the source slot."""
        self._keys_values[:, :, target, :, :length] = self._keys_values[:, :, source, :, :length].clone()
