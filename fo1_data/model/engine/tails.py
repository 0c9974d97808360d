"""Keys and values of the questions' own tokens, in slots.

Shapes: layers and K key-value heads of the decoder, S slots, L tail capacity, E head width.
"""

import torch
from torch import Tensor

from fo1_data.model.modeling import Fo1Model


class Tails:
    """One tensor (2, layers, S, K, L, E) of keys and values. It grows by doubling, up to `max_slots`."""

    def __init__(self, model: Fo1Model, max_slots: int) -> None:
        text = model.config.text
        self._max_slots = max_slots
        self._held = torch.zeros(
            (2, text.num_hidden_layers, 0, text.num_key_value_heads, 0, text.head_dim),
            device=model.device,
            dtype=model.dtype,
        )

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        return self._held.nbytes

    def reserve(self, slots: int, capacity: int) -> None:
        """Hold at least this many slots of at least this many tokens; contents are kept."""
        held_slots, held_capacity = self._held.shape[2], self._held.shape[4]
        if slots <= held_slots and capacity <= held_capacity:
            return
        slots = max(slots, held_slots, min(2 * held_slots, self._max_slots))
        shape = list(self._held.shape)
        shape[2], shape[4] = slots, max(capacity, held_capacity)
        grown = self._held.new_zeros(shape)
        grown[:, :, :held_slots, :, :held_capacity] = self._held
        self._held = grown

    def write(self, layer: int, slots: Tensor, places: Tensor, keys: Tensor, values: Tensor) -> None:
        """Store keys and values (n, Q, K, E) at slots (n, 1) and places (n, Q)."""
        self._held[0, layer].transpose(1, 2)[slots, places] = keys
        self._held[1, layer].transpose(1, 2)[slots, places] = values

    def read(self, layer: int, slots: slice, extent: int) -> tuple[Tensor, Tensor]:
        """Keys and values (n, K, extent, E) of consecutive slots."""
        keys, values = self._held[:, layer, slots, :, :extent]
        return keys, values

    def copy_head(self, source: int, targets: slice, length: int) -> None:
        """Copy the first `length` tokens of one slot to others."""
        head = self._held[:, :, source, :, :length]
        self._held[:, :, targets, :, :length] = head.unsqueeze(2)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of one slot over another."""
        self._held[:, :, target, :, :length] = self._held[:, :, source, :, :length].clone()
