"""Chooses the device and the dtype on which a model runs."""

import torch

from fo1_data.errors import ConfigError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_device(requested: str | None) -> torch.device:
    """The requested device, else the first GPU, else the CPU. Raises ConfigError if it is not usable."""
    if requested is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(requested)
    except RuntimeError as error:
        raise ConfigError(f"device {requested!r} is not known (cpu, cuda, cuda:0)") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {requested!r}: no GPU is usable here")
    return device


def choose_dtype(requested: str | None, device: torch.device) -> tuple[str, torch.dtype]:
    """Name and dtype as requested, else bfloat16 on a GPU and float32 on the CPU."""
    name = requested or ("bfloat16" if device.type == "cuda" else "float32")
    return name, _DTYPES[name]
