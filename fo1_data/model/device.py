"""Which device and number type a model runs on, chosen or asked for."""

import torch

from fo1_data.errors import ConfigError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_device(wanted: str | None) -> torch.device:
    """The device asked for, else the first GPU, else the CPU. ConfigError where there is no such device."""
    if wanted is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise ConfigError(f"device {wanted!r} is not known (cpu, cuda, cuda:0)") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {wanted!r}: no GPU is usable here")
    return device


def choose_dtype(wanted: str | None, device: torch.device) -> tuple[str, torch.dtype]:
    """Name and type asked for, else bfloat16 on a GPU and float32 on the CPU."""
    name = wanted or ("bfloat16" if device.type == "cuda" else "float32")
    return name, _DTYPES[name]
