"""`fo1 model attach`: an untrained VLM-FO1 of a base and a DaViT, in the layout that `load_checkpoint` reads.

Every weight of the base and of DaViT stays as it is, to the bit. New are the rows of the tokens for regions,
the region encoder and its projector, drawn by a seed: their features mean nothing before `fo1 train`.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from fo1_data.errors import CheckpointError, StorageError
from fo1_data.model.attaching.auxiliary_source import AuxiliarySource, read_auxiliary
from fo1_data.model.attaching.base_record import BaseRecord, SourceWeights
from fo1_data.model.attaching.region_tokens import extend_tokenizer, extended_rows, num_rows_with_regions
from fo1_data.model.bases.families import family_of_base, why_refused
from fo1_data.model.bases.family import BaseFamily
from fo1_data.model.checkpoint_files import read_tensors
from fo1_data.model.checkpoint_folder import SINGLE_FILE, find_checkpoint
from fo1_data.model.checksums import VOCABULARY, write_sums
from fo1_data.model.configuration import Fo1Config, load_config, parse_config
from fo1_data.model.licences import licence_of
from fo1_data.model.model_weights import empty_model
from fo1_data.model.modeling import region_projector
from fo1_data.model.prompts import MAX_REGIONS
from fo1_data.model.region_encoder import RegionEncoder
from fo1_data.model.tokenizer_files import read_tokenizer
from fo1_data.model.weight_names import to_released
from fo1_data.storage.json_text import parse_json, parse_object

_ROWS = ("language_model.embed_tokens.weight", "lm_head.weight")
# Its scale beside the embedding of the box (docs/decisions/031-places-drowned.md).
_NORM_WEIGHT = 0.1
_REGION_OPTIONS = {
    "mm_projector_type": "identity",
    "mm_projector_aux_type": "mlp2x_gelu",
    "mm_region_feature_combination": "concat",
    "mm_pos_embedding_strategy": "bbox_based",
    "mm_apply_position_embedding": True,
    "mm_apply_region_layer_norm": True,
    "mm_use_simpleFPN_for_vt": True,
    "mm_use_region_index_token": True,
    "mm_num_region_tokens": MAX_REGIONS,
    "mm_roi_output_size": 7,
    "aux_image_aspect_ratio": "dynamic",
}


def attach(base: str, aux: str, out: Path, *, licence: str | None = None, seed: int = 0) -> BaseRecord:
    """Write the checkpoint to `out`, a new folder that appears whole; returns where it came from.

    licence: of the base, where its files do not state it. Raises CheckpointError if the base is of a family
    that is not known or cannot carry regions, or if one of both cannot be read.
    """
    base_folder, aux_folder = find_checkpoint(base), find_checkpoint(aux)
    raw, family = _read_family(base_folder)
    auxiliary = read_auxiliary(aux_folder)
    stated = licence or licence_of(base_folder)
    record = BaseRecord(
        SourceWeights(base, family.base_type, stated),
        SourceWeights(aux, auxiliary.model_type, auxiliary.licence),
        seed,
    )
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        num_own = extend_tokenizer(base_folder, family.markup, partial)
        config = _write_config(partial, raw, family, auxiliary, record)
        weights = _base_weights(base_folder, family, config)
        weights = _with_rows(weights, config, num_own, record)
        weights |= _auxiliary_weights(auxiliary, config, record)
        weights |= _region_weights(config, seed)
        _refuse_misfits(weights, config, base_folder)
        _copy_image_settings(base_folder, partial)
        save_file(
            {to_released(name): tensor.contiguous() for name, tensor in weights.items()},
            partial / SINGLE_FILE,
            metadata={"format": "pt"},
        )
        record.write(partial)
        write_sums(partial, [SINGLE_FILE, *(name for name in VOCABULARY if (partial / name).is_file())])
        if out.exists():
            out.rmdir()
        partial.replace(out)
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{out}: cannot be written: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return record


def _read_family(folder: Path) -> tuple[dict[str, Any], BaseFamily]:
    path = folder / "config.json"
    try:
        raw = parse_json(path.read_text(encoding="utf-8"))
        model_type = str(raw["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder}: no config.json that names a model_type: {error}") from error
    family = family_of_base(model_type)
    if family is None:
        raise CheckpointError(f"{folder}: {why_refused(model_type)}")
    return raw, family


def _write_config(
    folder: Path, raw: dict[str, Any], family: BaseFamily, auxiliary: AuxiliarySource, record: BaseRecord
) -> Fo1Config:
    """Write `config.json` and `tiny_overrides.json`, with as many embedding rows as the tokenizer has ids."""
    document = family.to_checkpoint_config(raw) | _REGION_OPTIONS | auxiliary.options
    document |= {
        "architectures": [family.architecture],
        "model_type": family.checkpoint_type,
        "license": record.licence,
    }
    before = parse_config(document, auxiliary.overrides, str(folder))
    num_rows = num_rows_with_regions(before.text.vocab_size, read_tokenizer(folder))
    owner = document.get("text_config") or document
    owner["vocab_size"] = num_rows
    document["mm_region_hidden_size"] = before.region_width
    for name, contents in (("config.json", document), ("tiny_overrides.json", auxiliary.overrides)):
        (folder / name).write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")
    return load_config(folder)


def _base_weights(folder: Path, family: BaseFamily, config: Fo1Config) -> dict[str, Tensor]:
    """The base's weights by their names in `Fo1Model`, without those that the family does not use."""
    weights, unknown = {}, []
    for name, tensor in read_tensors(folder, torch.device("cpu")):
        if name.startswith(family.unused_prefixes):
            continue
        ours = next(
            (ours + name[len(own) :] for own, ours in family.weight_prefixes if name.startswith(own)), None
        )
        if ours is None:
            unknown.append(name)
        elif not (config.text.tie_word_embeddings and ours == _ROWS[1]):
            weights[ours] = tensor
    if unknown:
        raise CheckpointError(
            f"{folder}: {len(unknown)} weights are not those of {family.base_type}, such as {unknown[0]}"
        )
    return weights


def _with_rows(
    weights: dict[str, Tensor], config: Fo1Config, num_own: int, record: BaseRecord
) -> dict[str, Tensor]:
    """The base's weights with rows for new tokens; each of them is recorded as it was."""
    extended = {}
    for name, tensor in weights.items():
        rows = min(num_own, len(tensor)) if name in _ROWS else None
        if rows is not None:
            tensor = extended_rows(tensor, rows, config.text.vocab_size, record.seed)
        record.base.add(to_released(name), tensor, rows)
        extended[name] = tensor
    return extended


def _auxiliary_weights(
    auxiliary: AuxiliarySource, config: Fo1Config, record: BaseRecord
) -> dict[str, Tensor]:
    """DaViT's weights, each recorded as it is; what else lies in its checkpoint is left out."""
    names = {name for name, _ in empty_model(config).named_parameters()}
    weights = {name: tensor for name, tensor in auxiliary.weights.items() if name in names}
    for name, tensor in weights.items():
        record.auxiliary.add(to_released(name), tensor)
    return weights


def _region_weights(config: Fo1Config, seed: int) -> dict[str, Tensor]:
    """The region encoder and its projector, drawn by the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = RegionEncoder(config)
        projector = region_projector(config)
    for norm in (encoder.vt_region_norm, encoder.aux_region_norm):
        torch.nn.init.constant_(norm.weight, _NORM_WEIGHT)
    parts = {"region_encoder": encoder, "region_projector": projector}
    return {
        f"{part}.{name}": weight.detach()
        for part, module in parts.items()
        for name, weight in module.named_parameters()
    }


def _refuse_misfits(weights: Mapping[str, Tensor], config: Fo1Config, folder: Path) -> None:
    expected = {name: list(value.shape) for name, value in empty_model(config).named_parameters()}
    found = {name: list(tensor.shape) for name, tensor in weights.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CheckpointError(
            f"{folder}: weights do not fit the configurations of base and auxiliary tower: "
            f"{', '.join(wrong[:3])}{more}"
        )


def _copy_image_settings(base: Path, out: Path) -> None:
    """`preprocessor_config.json` of the base, from `processor_config.json` where it is part of that."""
    path, joint = base / "preprocessor_config.json", base / "processor_config.json"
    settings: dict[str, Any] = {}
    try:
        if path.is_file():
            settings = parse_object(path.read_text(encoding="utf-8"))
        elif joint.is_file():
            settings = parse_object(joint.read_text(encoding="utf-8")).get("image_processor") or {}
    except ValueError as error:
        raise CheckpointError(f"{base}: settings of images are not JSON: {error}") from error
    text = json.dumps(settings, indent=1) + "\n"
    (out / "preprocessor_config.json").write_text(text, encoding="utf-8")
