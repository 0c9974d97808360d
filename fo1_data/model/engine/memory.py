"""How much memory the engine may hold, and how running out of it looks."""

import os

import torch

_SHARE_OF_FREE = 0.5
_MOST_ON_CPU_BYTES = 1 << 30


def default_budget(device: torch.device) -> int:
    """Half of what is free on the device now; on the CPU at most 1 GiB."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free * _SHARE_OF_FREE)
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(min(available * _SHARE_OF_FREE, _MOST_ON_CPU_BYTES))


def is_out_of_memory(error: RuntimeError) -> bool:
    """True for torch's ways to say that an allocation failed, on CUDA and on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
