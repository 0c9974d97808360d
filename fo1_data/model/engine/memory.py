"""The memory that the engine may use, its division, and the error of a refused allocation."""

from dataclasses import dataclass

import torch

from fo1_data.available_memory import available_memory_bytes

_SHARE_OF_AVAILABLE = 0.5
_MOST_ON_CPU_BYTES = 1 << 30


@dataclass(frozen=True)
class MemoryBudget:
    """The engine's memory in bytes.

    A third each is for prefixes, the stack of prefixes that a batch attends to, and the tails of questions. A
    quarter of the first share is for what a decoder pass holds besides, the rest for cached prefixes. Images
    are encoded while no batch runs, so their activations use the share of the stack. keeps_stack: if the
    stack stays where it is meanwhile, these activations have a share of their own and each share is a fourth.
    """

    total: int
    keeps_stack: bool = False

    @property
    def _share(self) -> int:
        return self.total // (4 if self.keeps_stack else 3)

    @property
    def decoder_pass(self) -> int:
        return self._share // 4

    @property
    def prefix_cache(self) -> int:
        return self._share - self.decoder_pass

    @property
    def prefix_stack(self) -> int:
        return self._share

    @property
    def tails(self) -> int:
        return self._share

    @property
    def activations(self) -> int:
        return self._share


def default_budget(device: torch.device) -> int:
    """Half of the device's available memory in bytes; on the CPU at most 1 GiB."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free * _SHARE_OF_AVAILABLE)
    available = available_memory_bytes()
    return (
        _MOST_ON_CPU_BYTES
        if available is None
        else int(min(available * _SHARE_OF_AVAILABLE, _MOST_ON_CPU_BYTES))
    )


def is_refused_allocation(error: RuntimeError) -> bool:
    """True if torch's allocator refused a tensor, on CUDA or on the CPU: less of the same may fit.

    False if CUDA itself ran out of memory (`CUDA error: ...`): its device may be of no use any more.
    """
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
