"""The files of a checkpoint folder in the released VLM-FO1 layout: reads and writes them."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fo1_data.errors import CheckpointError, StorageError
from fo1_data.model.checkpoint_folder import DOMAIN, MODEL_CARD, SINGLE_FILE, list_weight_files, model_domain
from fo1_data.model.checksums import VOCABULARY, forget_sums, write_sums
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.weight_names import to_released

# A training run's record of itself: it does not belong to a checkpoint that is made from this folder.
_TRAINING_RECORDS = ("lineage.json", "training.json", "measured.json", "loggers.json")


def read_tensors(folder: Path, device: torch.device) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a checkpoint with its released name; one file is open at a time."""
    for path in list_weight_files(folder):
        with _open(path, device) as file:
            for name in file.keys():  # noqa: SIM118 (safe_open is not a mapping)
                yield name, file.get_tensor(name)


def read_shapes(folder: Path) -> dict[str, list[int]]:
    """The shape of every tensor of a checkpoint by its released name, without reading the tensors."""
    shapes: dict[str, list[int]] = {}
    for path in list_weight_files(folder):
        with _open(path, torch.device("cpu")) as file:
            shapes |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    return shapes


@contextmanager
def _open(path: Path, device: torch.device) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error


def save_checkpoint(
    model: Fo1Model,
    source: Path,
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write a model in the released layout: a single safetensors file, and the other files of `source`.

    `settings`: go into its `config.json`.
    """
    tensors = {name: value.detach().cpu() for name, value in model.named_parameters()}
    if dtype is not None:
        tensors = {name: value.to(dtype) for name, value in tensors.items()}
    save_weights(tensors, source, folder, settings)


def save_weights(
    weights: Mapping[str, Tensor], source: Path, folder: Path, settings: Mapping[str, Any] | None = None
) -> None:
    """As `save_checkpoint`, for weights by the names of the model's parameters.

    What `source` says of the only pictures that it knows is left out: it is not so of other weights. The sums
    of the files come last, so a killed process leaves none that are wrong.
    Raises StorageError or OSError if the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    forget_sums(folder)
    for path in source.iterdir() if source.resolve() != folder.resolve() else ():
        is_excluded = path.name.endswith(".index.json") or path.name in _TRAINING_RECORDS
        if path.is_file() and path.suffix in {".json", ".txt"} and not is_excluded:
            shutil.copyfile(path, folder / path.name)
    if settings:
        _rewrite(folder / "config.json", lambda document: {**document, **settings})
    if model_domain(folder) is not None:
        _rewrite(folder / MODEL_CARD, lambda card: {key: card[key] for key in card if key != DOMAIN})
    tensors = {to_released(name): value.contiguous() for name, value in weights.items()}
    partial = folder / f"{SINGLE_FILE}.partial"
    try:
        save_file(tensors, partial, metadata={"format": "pt"})
    except SafetensorError as error:
        partial.unlink(missing_ok=True)
        raise StorageError(f"{folder / SINGLE_FILE} cannot be written: {error}") from None
    partial.replace(folder / SINGLE_FILE)
    write_sums(folder, [SINGLE_FILE, *(name for name in VOCABULARY if (folder / name).is_file())])


def _rewrite(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change a JSON file, which is there whole before and after."""
    document = change(json.loads(path.read_text("utf-8")))
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
