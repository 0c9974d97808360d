"""Compares region features under other options of the region encoder, and in bfloat16."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.configuration import parse_config
from fo1_data.model.golden_case import GoldenCase, TensorComparison
from fo1_data.model.modeling import ImageFeatures
from fo1_data.model.prefix_states import prompt_states
from fo1_data.model.processing import PreparedImage
from fo1_data.model.region_encoder import RegionEncoder
from fo1_data.model.region_fusion import embed_prompt


def compare_variants(checkpoint: Checkpoint, path: Path) -> dict[str, Any]:
    """Results by `<case>.<variant>`: region features, embeddings and last logits.

    `path`.json has the options of each variant; `path`.safetensors has its tensors, and the weights whose
    shape the options change as `<variant>.weights.<name>`.
    """
    variants = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    expected = load_file(path.with_suffix(".safetensors"))
    cases = sorted({name.split(".")[0] for name in expected if name.split(".")[0] not in variants})
    results = {}
    for variant, options in variants.items():
        changed = _with_options(checkpoint, options, _below(f"{variant}.weights.", expected))
        for case in cases:
            comparison = TensorComparison(_below(f"{case}.{variant}.", expected))
            _check_variant(comparison, changed, GoldenCase.load(path.parent / case))
            results[f"{case}.{variant}"] = comparison.result()
    return results


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): tensor for k, tensor in tensors.items() if k.startswith(prefix)}


def _with_options(checkpoint: Checkpoint, options: dict[str, Any], weights: dict[str, Tensor]) -> Checkpoint:
    """The same model with other region options; `weights` replaces those whose shape changes."""
    config = parse_config({**checkpoint.config.raw, **options}, checkpoint.config.raw_overrides)
    encoder = RegionEncoder(config)
    present = checkpoint.model.region_encoder.state_dict()
    shared = {name: value for name, value in present.items() if name in encoder.state_dict()}
    encoder.load_state_dict({**shared, **weights}, strict=True)
    changed = _shallow_copy(checkpoint.model)
    changed.config, changed.region_encoder = config, encoder.eval()
    return replace(checkpoint, model=changed)


def _shallow_copy(model: torch.nn.Module) -> Any:
    """A module with the same submodules, of which one can be replaced without changing `model`."""
    copied = object.__new__(type(model))
    copied.__dict__ = {**model.__dict__, "_modules": dict(model._modules)}
    return copied


def _check_variant(comparison: TensorComparison, checkpoint: Checkpoint, case: GoldenCase) -> None:
    model, prepared = checkpoint.model, case.prepare(checkpoint)
    primary = model.vision_tower.encode(prepared.pixel_values, [prepared.grid_hw], all_maps=True)[0]
    levels = model.vision_tower_aux(prepared.aux_image[None])
    features = model.region_encoder(levels, primary.maps, prepared.aux_boxes[None], prepared.vt_boxes[None])
    comparison.check("region_features", features[0])
    if not {"region_embeds", "logits_last"} & set(comparison.expected):
        return
    encoded = model.encode_images([prepared])[0]
    comparison.check("region_embeds", encoded.region_embeds)
    states_PD = _first_prompt_states(checkpoint, case, prepared, encoded)
    comparison.check("logits_last", model.logits(states_PD[-1]))


def bfloat16_differences(checkpoint: Checkpoint, path: Path) -> dict[str, float]:
    """Largest differences of a bfloat16 model's tensors from those in `path`, by `<case>.<tensor>`."""
    expected = load_file(path)
    differences = {}
    for name in sorted({key.split(".")[0] for key in expected if "." in key}):
        case = GoldenCase.load(path.parent / name)
        prepared = case.prepare(checkpoint)
        encoded = checkpoint.model.encode_images([prepared])[0]
        states_PD = _first_prompt_states(checkpoint, case, prepared, encoded)
        actual = {
            "image_embeds": encoded.image_embeds,
            "region_embeds": encoded.region_embeds,
            "logits_last8": checkpoint.model.logits(states_PD[-8:])[None],
        }
        for tensor, value in actual.items():
            key = f"{name}.{tensor}"
            if key in expected:
                differences[key] = float((value.float() - expected[key]).abs().max())
    return differences


def _first_prompt_states(
    checkpoint: Checkpoint, case: GoldenCase, prepared: PreparedImage, encoded: ImageFeatures
) -> Tensor:
    """The decoder's states (P, D) over the case's first prompt."""
    tokenizer, question = checkpoint.tokenizer, case.prompts[0]["text"]
    ids = tokenizer.prefix_ids(len(prepared.aux_boxes)) + tokenizer.tail_ids(question)
    return prompt_states(checkpoint.model, embed_prompt(checkpoint.model, ids, encoded, prepared.grid_hw))
