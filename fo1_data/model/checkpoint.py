"""Finds, loads and describes checkpoints in the released VLM-FO1 layout.

A checkpoint's name is a folder, `fo1-tiny` (bundled) or a hub id. For a URL, `fo1_data.model.node_cache`
first fetches a local folder.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fo1_data.errors import CheckpointError
from fo1_data.model.checkpoint_files import checkpoint_sha256, read_shapes
from fo1_data.model.configuration import Fo1Config, load_config
from fo1_data.model.model_weights import empty_model, fill_model
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.processing import ImageProcessor
from fo1_data.model.prompts import PromptTokenizer, load_tokenizer
from fo1_data.model.weight_names import to_released

BUNDLED = "fo1-tiny"


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model, with the processor of its images and the tokenizer of its text."""

    name: str
    folder: Path
    model: Fo1Model
    tokenizer: PromptTokenizer
    processor: ImageProcessor

    @property
    def config(self) -> Fo1Config:
        return self.model.config


def find_checkpoint(name: str) -> Path:
    """The local folder of a bundled checkpoint, a path, or a hub id (fetched if it is not cached).

    Raises CheckpointError if there is none.
    """
    if name == BUNDLED:
        folder = Path(__file__).resolve().parent.parent / "assets" / BUNDLED
        if not (folder / "config.json").is_file():
            raise CheckpointError(f"the bundled model {BUNDLED} is missing from this installation")
        return folder
    if Path(name).is_dir():
        return Path(name).resolve()
    if Path(name).exists() or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise CheckpointError(
            f"{name}: no such folder; --model takes a folder, a hub id (owner/name) or {BUNDLED}"
        )
    return _fetch_from_hub(name)


def _fetch_from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.json", "*.safetensors", "*.txt", "*.model"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{name}: not a folder, and the hub does not provide it: {error}".splitlines()[0]
        ) from error


def load_checkpoint(
    name: str, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Checkpoint:
    """Load model, tokenizer and processor. Raises CheckpointError with what is missing or does not fit."""
    folder = find_checkpoint(name)
    config = load_config(folder)
    model = empty_model(config)
    fill_model(model, folder, torch.device(device), dtype)
    # Channels last in memory: the same numbers, and convolutions are a quarter faster on CPUs.
    nn.Module.to(model.vision_tower_aux, memory_format=torch.channels_last)
    tokenizer = load_tokenizer(folder, config.region.num_region_tokens)
    return Checkpoint(name, folder, model.eval(), tokenizer, ImageProcessor(folder, config))


def describe(name: str) -> dict[str, Any]:
    """The document of `fo1 model info`: sizes, options, and the weights that do not fit the configuration."""
    folder = find_checkpoint(name)
    config = load_config(folder)
    model = empty_model(config)
    expected = {to_released(key): list(value.shape) for key, value in model.named_parameters()}
    stored = read_shapes(folder)
    if config.text.tie_word_embeddings:
        stored.pop("lm_head.weight", None)
    parts = {part: sum(p.numel() for p in module.parameters()) for part, module in model.named_children()}
    return {
        "name": name,
        "folder": str(folder),
        "sha256": checkpoint_sha256(folder),
        "licence": config.licence,
        "parameters": sum(parts.values()),
        "parts": parts,
        "region_width": config.region_width,
        "regions_a_prompt": config.region.num_region_tokens,
        "missing": sorted(set(expected) - set(stored)),
        "unexpected": sorted(set(stored) - set(expected)),
        "wrong_shape": sorted(k for k in set(stored) & set(expected) if stored[k] != expected[k]),
    }
