"""The files of a checkpoint folder in the released VLM-FO1 layout: reads, hashes and writes them."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fo1_data.errors import CheckpointError
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.weight_names import to_released

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
# A training run's record of itself: it does not belong to a checkpoint that is made from this folder.
_TRAINING_RECORDS = ("lineage.json", "training.json")
_HASHED_FILES = (
    "config.json",
    "tiny_overrides.json",
    "preprocessor_config.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.json",
    "tokenizer_config.json",
)


def list_weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint: those that its index names, else the single file.

    Raises CheckpointError if one of them is missing.
    """
    index = folder / _INDEX
    if index.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    else:
        names = [_SINGLE]
    files = [folder / name for name in names]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise CheckpointError(f"{folder}: no {', '.join(missing)}")
    return files


def read_tensors(folder: Path, device: torch.device) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a checkpoint with its released name; one file is open at a time."""
    for path in list_weight_files(folder):
        try:
            with safe_open(path, framework="pt", device=str(device)) as file:
                for name in file.keys():  # noqa: SIM118 (safe_open is not a mapping)
                    yield name, file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: cannot be read: {error}") from error


def read_shapes(folder: Path) -> dict[str, list[int]]:
    """The shape of every tensor of a checkpoint by its released name, without reading the tensors."""
    shapes: dict[str, list[int]] = {}
    for path in list_weight_files(folder):
        with safe_open(path, framework="pt") as file:
            shapes |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    return shapes


def checkpoint_sha256(folder: Path) -> str:
    """SHA-256 of names and contents of the weight, configuration and tokenizer files, sorted by name."""
    digest = hashlib.sha256()
    files = [folder / name for name in _HASHED_FILES if (folder / name).is_file()]
    for path in sorted(files + list_weight_files(folder), key=lambda path: path.name):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def save_checkpoint(model: Fo1Model, source: Path, folder: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write a model in the released layout: a single safetensors file, and the other files of `source`."""
    tensors = {name: value.detach().cpu() for name, value in model.named_parameters()}
    if dtype is not None:
        tensors = {name: value.to(dtype) for name, value in tensors.items()}
    save_weights(tensors, source, folder)


def save_weights(weights: Mapping[str, Tensor], source: Path, folder: Path) -> None:
    """As `save_checkpoint`, for weights by the names of the model's parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir() if source.resolve() != folder.resolve() else ():
        is_excluded = path.name.endswith(".index.json") or path.name in _TRAINING_RECORDS
        if path.is_file() and path.suffix in {".json", ".txt"} and not is_excluded:
            shutil.copyfile(path, folder / path.name)
    tensors = {to_released(name): value.contiguous() for name, value in weights.items()}
    partial = folder / f"{_SINGLE}.partial"
    save_file(tensors, partial, metadata={"format": "pt"})
    partial.replace(folder / _SINGLE)
