"""The trained part of a checkpoint, apart from the model it was trained from.

A small folder that can be kept beside a large base. `adapters.safetensors` has the low-rank adapters and the
weights that trained whole, of the embeddings only the rows of the tokens that VLM-FO1 adds; `adapters.json`
names the base.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fo1_data.errors import CheckpointError, ConfigError
from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.checkpoint_files import save_checkpoint
from fo1_data.model.checkpoint_folder import checkpoint_sha256
from fo1_data.model.checksums import forget_sums, refuse_changed, sha256_of, write_sums
from fo1_data.storage.json_text import parse_object
from fo1_data.training.adapters import ADAPTER_SCALE, base_name, is_adapter

WEIGHTS, RECORD = "adapters.safetensors", "adapters.json"
_A, _B = ".lora_A.default.weight", ".lora_B.default.weight"
_ROWS = ("language_model.embed_tokens.weight", "lm_head.weight")


def save_apart(
    folder: Path,
    trained: Mapping[str, Tensor],
    rows: list[int],
    base: Mapping[str, str],
    settings: Mapping[str, Any],
) -> None:
    """Write trained weights by the names of the model's parameters.

    `rows`: of the embeddings, those that train. `base`: name and SHA-256 of the model that it began from.
    `settings`: of the configuration that are not the base's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (weight.detach()[rows] if name in _ROWS else weight.detach()).contiguous().cpu()
        for name, weight in trained.items()
    }
    partial = folder / f"{WEIGHTS}.partial"
    save_file(tensors, partial)
    forget_sums(folder)
    partial.replace(folder / WEIGHTS)
    write_sums(folder, [WEIGHTS])
    record = {"base": dict(base), "rows": rows, "settings": dict(settings)}
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def merge_apart(base: str, folder: Path, out: Path) -> None:
    """Write the checkpoint of a base and what was trained from it into `out`.

    Raises CheckpointError if a file is missing or damaged, ConfigError if it was trained from another base.
    """
    record, tensors = _read(folder)
    checkpoint = load_checkpoint(base, settings=record.get("settings"))
    digest = checkpoint_sha256(checkpoint.folder)
    if digest != record["base"]["sha256"]:
        raise ConfigError(
            f"{folder} was trained from {record['base']['name']}, not from {base}: name that one"
        )
    parameters = dict(checkpoint.model.named_parameters())
    with torch.no_grad():
        for name, value in tensors.items():
            if name in _ROWS:
                parameters[name][record["rows"]] = value
            elif name.endswith(_A):
                owner = name.removesuffix(_A)
                parameters[f"{owner}.weight"].add_(tensors[owner + _B] @ value, alpha=ADAPTER_SCALE)
            elif not is_adapter(name):
                parameters[base_name(name)].copy_(value)
    save_checkpoint(checkpoint.model, checkpoint.folder, out, settings=checkpoint.settings)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        record = parse_object((folder / RECORD).read_text("utf-8"))
        refuse_changed(folder, {WEIGHTS: sha256_of(folder / WEIGHTS)})
        return record, load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: holds no readable {WEIGHTS} with {RECORD}: {error}") from None
