"""Loads and describes checkpoints in the released VLM-FO1 layout; `checkpoint_folder` finds their folders."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fo1_data.model.attaching.base_record import changed_weights, read_base_record
from fo1_data.model.checkpoint_files import read_shapes, read_tensors
from fo1_data.model.checkpoint_folder import file_sums, find_checkpoint, sha256_of_sums
from fo1_data.model.checksums import changed_files
from fo1_data.model.configuration import Fo1Config, load_config
from fo1_data.model.model_weights import empty_model, fill_model
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.processing import ImageProcessor
from fo1_data.model.prompts import PromptTokenizer, load_tokenizer
from fo1_data.model.weight_names import to_released


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model, with the processor of its images and the tokenizer of its text.

    settings: of its configuration that are not those of `config.json` in its folder.
    """

    name: str
    folder: Path
    model: Fo1Model
    tokenizer: PromptTokenizer
    processor: ImageProcessor
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> Fo1Config:
        return self.model.config


def load_checkpoint(
    name: str,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    settings: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Load model, tokenizer and processor. `settings`: take the place of those of its `config.json`.

    Raises CheckpointError with what is missing or does not fit.
    """
    folder, settings = find_checkpoint(name), settings or {}
    config = load_config(folder, settings)
    model = empty_model(config, str(folder))
    fill_model(model, folder, torch.device(device), dtype)
    # Channels last in memory: the same numbers, and convolutions are a quarter faster on CPUs.
    nn.Module.to(model.vision_tower_aux, memory_format=torch.channels_last)
    tokenizer = load_tokenizer(folder, config.region.num_region_tokens, config.base.markup)
    return Checkpoint(name, folder, model.eval(), tokenizer, ImageProcessor(folder, config), settings)


def describe(name: str) -> dict[str, Any]:
    """The document of `fo1 model info`: sizes, options, what does not fit the configuration or changed."""
    folder = find_checkpoint(name)
    config = load_config(folder)
    model = empty_model(config, str(folder))
    expected = {to_released(key): list(value.shape) for key, value in model.named_parameters()}
    stored, sums = read_shapes(folder), file_sums(folder)
    if config.text.tie_word_embeddings:
        stored.pop("lm_head.weight", None)
    parts = {part: sum(p.numel() for p in module.parameters()) for part, module in model.named_children()}
    return {
        "name": name,
        "folder": str(folder),
        "sha256": sha256_of_sums(sums),
        "changed_files": changed_files(folder, sums),
        "base": config.base.base_type,
        "licence": config.licence,
        "parameters": sum(parts.values()),
        "parts": parts,
        "region_width": config.region_width,
        "ocr_crop_min_pixels": config.ocr_crop_min_pixels,
        "regions_a_prompt": config.region.num_region_tokens,
        "sources": _sources(folder),
        "missing": sorted(set(expected) - set(stored)),
        "unexpected": sorted(set(stored) - set(expected)),
        "wrong_shape": sorted(k for k in set(stored) & set(expected) if stored[k] != expected[k]),
    }


def _sources(folder: Path) -> list[dict[str, Any]]:
    """Of a checkpoint that `fo1 model attach` began: its base and auxiliary tower, and which of their weights
    are not what they were."""
    record = read_base_record(folder)
    if record is None:
        return []
    return [
        {
            "name": source.name,
            "model_type": source.model_type,
            "licence": source.licence,
            "weights": len(source.sha256),
            "changed": changed_weights(source, read_tensors(folder, torch.device("cpu"))),
        }
        for source in (record.base, record.auxiliary)
    ]
