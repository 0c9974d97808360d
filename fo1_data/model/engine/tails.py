"""Keys and values of the questions' own tokens, in slots.

Shapes: layers of the decoder, S slots, K key-value heads, L tail capacity, E head width, n questions,
Q tokens of each.
"""

import torch
from torch import Tensor

from fo1_data.model.modeling import Fo1Model


class Tails:
    """One tensor (layers, 2, S, K, L, E) of keys and values. It grows with the tails and is kept for the next
    batch, so that a batch does not pay for its memory again.

    max_bytes: the limit on the tensor, except that a batch gets what it needs now.
    """

    def __init__(self, model: Fo1Model, max_bytes: int) -> None:
        text = model.config.text
        self._max_bytes = max_bytes
        self._keys_values = torch.zeros(
            (text.num_hidden_layers, 2, 0, text.num_key_value_heads, 0, text.head_dim),
            device=model.device,
            dtype=model.dtype,
        )
        # How often the memory was replaced: what holds its address is then out of date.
        self.version = 0

    def clear(self) -> None:
        """Free the memory."""
        self._keys_values = self._keys_values[:, :, :0].clone()
        self.version += 1

    def reserve(self, num_slots: int, capacity: int) -> None:
        """Make room for at least this many slots of at least this many tokens; contents are kept."""
        old_slots, old_capacity = self._keys_values.shape[2], self._keys_values.shape[4]
        if num_slots <= old_slots and capacity <= old_capacity:
            return
        text_bytes = 2 * self._keys_values.shape[0] * self._keys_values.shape[3] * self._keys_values.shape[5]
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
        self.version += 1

    def write(self, layer: int, where: tuple[Tensor, Tensor, Tensor], keys_values_nQ2KE: Tensor) -> None:
        """Store keys and values at places of slots. where: the result of `places_of`."""
        places_2SLKE = self._keys_values[layer].transpose(2, 3)
        places_2SLKE[where] = keys_values_nQ2KE.movedim(2, 0)

    def places_of(self, first_slot: int, places_nQ: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The index at which consecutive slots from `first_slot` store the tokens of these places."""
        device, num = places_nQ.device, len(places_nQ)
        slots = torch.arange(first_slot, first_slot + num, device=device)[None, :, None]
        return torch.arange(2, device=device)[:, None, None], slots, places_nQ[None]

    def read(self, layer: int, slots: slice, extent: int) -> tuple[Tensor, Tensor]:
        """Keys and values (n, K, extent, E) of the first `extent` tokens of consecutive slots."""
        keys, values = self._keys_values[layer, :, slots, :, :extent]
        return keys, values

    def copy_head(self, source: int, targets: slice, length: int) -> None:
        """Copy the first `length` tokens of one slot to other slots."""
        head = self._keys_values[:, :, source, :, :length]
        self._keys_values[:, :, targets, :, :length] = head.unsqueeze(2)

    def move(self, sources: list[int], targets: list[int], length: int) -> None:
        """Overwrite the first `length` tokens of target slots with those of source slots."""
        tails = self._keys_values[:, :, :, :, :length]
        source, target = torch.tensor([sources, targets]).to(tails.device, non_blocking=True)
        tails[:, :, target] = tails[:, :, source]
