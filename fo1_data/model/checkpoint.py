"""Checkpoints in the released VLM-FO1 layout: found, read strictly and once, described, written.

A name is a folder, `fo1-tiny` (bundled), a hub id, or a URL; on a cluster the folder is fetched
once a node by `fo1_data.model.node_cache`, before it comes here.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from fo1_data.errors import CheckpointError
from fo1_data.model.configuration import Fo1Config, load_config
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.processing import ImageProcessor
from fo1_data.model.prompts import PromptTokenizer, load_tokenizer
from fo1_data.model.weight_names import to_ours, to_released

BUNDLED = "fo1-tiny"
_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
# What a training run has written beside its checkpoint of itself, not of the next one.
_OF_A_TRAINING = ("lineage.json", "training.json")


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to run, with what it needs to read images and text."""

    name: str
    folder: Path
    model: Fo1Model
    tokenizer: PromptTokenizer
    processor: ImageProcessor

    @property
    def config(self) -> Fo1Config:
        return self.model.config


def find_checkpoint(name: str) -> Path:
    """The local folder of a checkpoint: bundled, a path, or a hub id (fetched where it is not cached)."""
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

    wanted = ["*.json", "*.safetensors", "*.txt", "*.model"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{name}: neither a folder nor to be had from the hub: {error}".splitlines()[0]
        ) from error


def load_checkpoint(
    name: str, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Checkpoint:
    """Load model, tokenizer and processor. Raises CheckpointError naming what is missing or does not fit."""
    folder = find_checkpoint(name)
    config = load_config(folder)
    model = empty_model(config)
    fill(model, folder, torch.device(device), dtype)
    # Channels last in memory: the same numbers, and convolutions a quarter faster on CPUs.
    nn.Module.to(model.vision_tower_aux, memory_format=torch.channels_last)
    tokenizer = load_tokenizer(folder, config.region.num_region_tokens)
    return Checkpoint(name, folder, model.eval(), tokenizer, ImageProcessor(folder, config))


def empty_model(config: Fo1Config) -> Fo1Model:
    """The model on the meta device: names and shapes, no memory."""
    with torch.device("meta"):
        return Fo1Model(config)


def fill(model: Fo1Model, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
    """Read every weight once, straight to its device and dtype, and insist that names and shapes match."""
    expected = dict(model.named_parameters())
    seen: set[str] = set()
    unexpected, misfits = [], []
    for name, tensor in read_tensors(folder, device):
        ours = to_ours(name)
        if ours == "lm_head.weight" and model.config.text.tie_word_embeddings:
            continue
        if ours is None or ours not in expected:
            unexpected.append(name)
        elif tuple(expected[ours].shape) != tuple(tensor.shape):
            misfits.append(f"{name} is {list(tensor.shape)}, expected {list(expected[ours].shape)}")
        else:
            _assign(model, ours, tensor.to(dtype))
            seen.add(ours)
    missing = [to_released(name) for name in expected if name not in seen]
    problems = [
        f"{what}: {', '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("wrong shape", misfits))
        if names
    ]
    if problems:
        raise CheckpointError(f"{folder}: weights do not fit the configuration ({'; '.join(problems)})")
    restore_buffers(model, device)


def read_tensors(folder: Path, device: torch.device) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a checkpoint's safetensors files, one file open at a time."""
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt", device=str(device)) as file:
                for name in file.keys():  # noqa: SIM118 (safe_open is no mapping)
                    yield name, file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: cannot be read: {error}") from error


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint: a single one, or those its index names."""
    index = folder / _INDEX
    if index.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    else:
        names = [_SINGLE]
    files = [folder / name for name in names]
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise CheckpointError(f"{folder}: no {', '.join(absent)}")
    return files


def _assign(model: nn.Module, name: str, tensor: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, nn.Parameter(tensor, requires_grad=True))


def restore_buffers(model: Fo1Model, device: torch.device) -> None:
    """Give a model built on the meta device its rotary tables (buffers, which no file holds).

    They depend on the configuration alone, so they come from the same model without its layers.
    """
    config = model.config
    stems = Fo1Config(
        text=_replace(config.text, num_hidden_layers=0, vocab_size=1, tie_word_embeddings=True),
        vision=_replace(config.vision, depth=0, out_hidden_size=1),
        auxiliary=_replace(config.auxiliary, dim_embed=(8, 8, 8, 8), num_heads=(1,) * 4, num_groups=(1,) * 4),
        region=_replace(
            config.region, use_simple_fpn=False, apply_region_layer_norm=False, projector_type="linear"
        ),
    )
    sources = dict(Fo1Model(stems).named_buffers())
    for name, buffer in list(model.named_buffers()):
        if buffer.is_meta:
            owner, _, leaf = name.rpartition(".")
            model.get_submodule(owner)._buffers[leaf] = sources[name].to(device)


def _replace(config: Any, **changes: Any) -> Any:
    from dataclasses import replace

    return replace(config, **changes)


def checkpoint_sha256(folder: Path) -> str:
    """SHA-256 over the weights, configuration and tokenizer files: names and contents, sorted by name."""
    digest = hashlib.sha256()
    names = {"config.json", "tiny_overrides.json", "preprocessor_config.json", "vocab.json", "merges.txt"}
    names |= {"tokenizer.json", "tokenizer_config.json"}
    files = [folder / name for name in names if (folder / name).is_file()] + weight_files(folder)
    for path in sorted(files, key=lambda p: p.name):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def save_checkpoint(model: Fo1Model, source: Path, folder: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write a model in the released layout: one safetensors file, beside `source`'s other files."""
    tensors = {name: value.detach().cpu() for name, value in model.named_parameters()}
    if dtype is not None:
        tensors = {name: value.to(dtype) for name, value in tensors.items()}
    save_weights(tensors, source, folder)


def save_weights(weights: Mapping[str, Tensor], source: Path, folder: Path) -> None:
    """Write weights named as our model's parameters in the released layout, as `save_checkpoint` does."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir() if source.resolve() != folder.resolve() else ():
        of_weights = path.name.endswith(".index.json") or path.name in _OF_A_TRAINING
        if path.is_file() and path.suffix in {".json", ".txt"} and not of_weights:
            shutil.copyfile(path, folder / path.name)
    tensors = {to_released(name): value.contiguous() for name, value in weights.items()}
    partial = folder / f"{_SINGLE}.partial"
    save_file(tensors, partial, metadata={"format": "pt"})
    partial.replace(folder / _SINGLE)


def describe(name: str) -> dict[str, Any]:
    """What `fo1 model info` shows: sizes, options, and whether every weight found its place."""
    folder = find_checkpoint(name)
    config = load_config(folder)
    model = empty_model(config)
    expected = {to_released(key): list(value.shape) for key, value in model.named_parameters()}
    found: dict[str, list[int]] = {}
    with ExitStack() as stack:
        for path in weight_files(folder):
            file = stack.enter_context(safe_open(path, framework="pt"))
            found |= {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
    if config.text.tie_word_embeddings:
        found.pop("lm_head.weight", None)
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
        "missing": sorted(set(expected) - set(found)),
        "unexpected": sorted(set(found) - set(expected)),
        "wrong_shape": sorted(k for k in set(found) & set(expected) if found[k] != expected[k]),
    }
