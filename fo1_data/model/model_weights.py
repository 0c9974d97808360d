"""Builds a model without memory, and fills it strictly with the weights of a checkpoint folder."""

from pathlib import Path

import torch
from torch import Tensor, nn

from fo1_data.errors import CheckpointError, one_line
from fo1_data.model.checkpoint_files import read_tensors
from fo1_data.model.configuration import Fo1Config
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.weight_names import to_ours, to_released


def empty_model(config: Fo1Config, where: str = "config") -> Fo1Model:
    """The model on the meta device: names and shapes, without memory.

    Raises CheckpointError, which begins with `where`, if no model has this configuration.
    """
    try:
        with torch.device("meta"):
            return Fo1Model(config)
    except (RuntimeError, TypeError, ValueError, LookupError, ArithmeticError, AssertionError) as error:
        reason = one_line(error)[:120]
        raise CheckpointError(
            f"{where}: config.json describes no model that can be built: {reason}"
        ) from None


def fill_model(model: Fo1Model, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
    """Read every weight once, directly to its device and dtype.

    Raises CheckpointError if weights are missing or unexpected, or have another shape than the model's.
    """
    expected = dict(model.named_parameters())
    filled: set[str] = set()
    unexpected, wrong_shape = [], []
    for name, tensor in read_tensors(folder, device):
        ours = to_ours(name)
        if ours == "lm_head.weight" and model.config.text.tie_word_embeddings:
            continue
        if ours is None or ours not in expected:
            unexpected.append(name)
        elif expected[ours].shape != tensor.shape:
            wrong_shape.append(f"{name} is {list(tensor.shape)}, expected {list(expected[ours].shape)}")
        else:
            _assign(model, ours, tensor.to(dtype))
            filled.add(ours)
    missing = [to_released(name) for name in expected if name not in filled]
    problems = [
        f"{problem}: {', '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}"
        for problem, names in (("missing", missing), ("unexpected", unexpected), ("wrong shape", wrong_shape))
        if names
    ]
    if problems:
        raise CheckpointError(f"{folder}: weights do not fit the configuration ({'; '.join(problems)})")


def _assign(model: nn.Module, name: str, tensor: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, nn.Parameter(tensor, requires_grad=True))
