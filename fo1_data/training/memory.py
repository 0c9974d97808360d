"""The most memory that a training process has held."""

import resource

import torch


def peak_memory_bytes(device: torch.device) -> int:
    """The peak of the GPU's allocated memory, or on a CPU of the process' resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
