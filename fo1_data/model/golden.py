"""Comparison with tensors and tokens of the reference implementation, stage by stage.

Every stage is computed by the code that labels. Float32 cases must agree within atol = rtol = 1e-4,
with identical pixel values, ids and generated tokens; bfloat16 figures are for information.
A golden folder holds `index.json` and `cases/<case>.{json,safetensors}`; option variants lie in
`cases/hfre_variants.*`.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from fo1_data.errors import CheckpointError
from fo1_data.model.checkpoint import Checkpoint, load_checkpoint
from fo1_data.model.configuration import Fo1Config, parse_config
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import Question
from fo1_data.model.modeling import ImageFeatures
from fo1_data.model.prefix_states import prompt_states
from fo1_data.model.processing import PreparedImage
from fo1_data.model.region_encoder import RegionEncoder
from fo1_data.model.region_fusion import embed_prompt
from fo1_data.model.vision_towers import PrimaryFeatures, encode_auxiliary, encode_primary

TOLERANCE = 1e-4
_EXACT = ("pixel_values", "image_grid_thw", "input_ids", "position_ids", "generated_ids")
_VARIANTS = "hfre_variants"
_BFLOAT16 = "bf16"


@torch.inference_mode()
def verify(model: str, golden: Path) -> dict[str, Any]:
    """Compare every stored tensor of every case; the document that `fo1 model verify --json` prints."""
    if not (golden / "index.json").is_file():
        raise CheckpointError(f"{golden}: no index.json; --golden takes a folder of reference tensors")
    checkpoint = load_checkpoint(model)
    index = json.loads((golden / "index.json").read_text(encoding="utf-8"))
    cases: dict[str, Any] = {}
    for name in [case["id"] for case in index["cases"]]:
        cases[name] = _verify_case(checkpoint, golden / "cases" / name, index.get("n_new_tokens", 24))
    if (golden / "cases" / f"{_VARIANTS}.json").is_file():
        cases |= _verify_variants(checkpoint, golden / "cases")
    document: dict[str, Any] = {
        "ok": all(case["ok"] for case in cases.values()),
        "max_abs": max((v for case in cases.values() for v in case["tensors"].values()), default=0.0),
        "tolerance": TOLERANCE,
        "cases": cases,
    }
    if (golden / "cases" / f"{_BFLOAT16}.safetensors").is_file():
        document["bfloat16"] = _compare_bfloat16(model, golden / "cases")
    return document


class _Comparison:
    """Collects differences; `ok` once everything that was compared agrees."""

    def __init__(self, expected: dict[str, Tensor]) -> None:
        self.expected = expected
        self.differences: dict[str, float] = {}
        self.wrong: list[str] = []

    def check(self, name: str, actual: Tensor) -> None:
        want = self.expected.get(name)
        if want is None:
            return
        actual = actual.detach().cpu().reshape(want.shape) if actual.numel() == want.numel() else actual.cpu()
        if actual.shape != want.shape:
            self.differences[name], self.wrong = float("inf"), [*self.wrong, name]
            return
        difference = (actual.double() - want.double()).abs()
        self.differences[name] = float(difference.max()) if want.numel() else 0.0
        exact = name.rpartition(".")[2] in _EXACT
        agrees = (
            bool((difference == 0).all())
            if exact
            else torch.allclose(actual.float(), want.float(), TOLERANCE, TOLERANCE)
        )
        if not agrees:
            self.wrong.append(name)


def _verify_case(checkpoint: Checkpoint, path: Path, max_new_tokens: int) -> dict[str, Any]:
    case = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    expected = load_file(path.with_suffix(".safetensors"))
    comparison = _Comparison(expected)
    image = Image.fromarray(expected["image_u8"].numpy())
    boxes = expected["boxes_xyxy"].numpy()
    prepared = checkpoint.processor.prepare(image, boxes)
    _check_stages(comparison, checkpoint, prepared)
    encoded = checkpoint.model.encode_images([prepared])[0]
    comparison.check("region_embeds", encoded.region_embeds)
    equal = _check_prompts(comparison, checkpoint, prepared, encoded, case["prompts"], max_new_tokens)
    given = {"image_u8", "boxes_xyxy"}
    unchecked = sorted(set(expected) - set(comparison.differences) - given)
    return {
        "ok": not comparison.wrong and equal and not unchecked,
        "tensors": comparison.differences,
        "tokens_equal": equal,
        "wrong": comparison.wrong,
        "unchecked": unchecked,
    }


def _check_stages(comparison: _Comparison, checkpoint: Checkpoint, prepared: PreparedImage) -> None:
    """Image preparation, both towers, and the region encoder's parts."""
    check, model = comparison.check, checkpoint.model
    grid = torch.tensor([[1, *prepared.grid_hw]])
    check("pixel_values", prepared.pixel_values)
    check("image_grid_thw", grid)
    check("aux_image", prepared.aux_image)
    check("aux_boxes", prepared.aux_boxes)
    check("vt_boxes", prepared.vt_boxes)
    primary = encode_primary(model.vision_tower, prepared.pixel_values, grid, all_maps=True)[0]
    for level, features in enumerate(primary.maps):
        check(f"vit_level{level}", features)
    check("vit_merger_window_order", primary.merged_windowed)
    check("image_embeds", model.image_projector(primary.image_embeds))
    levels = encode_auxiliary(model.vision_tower_aux, prepared.aux_image[None])
    for level, features in enumerate(levels):
        check(f"davit_level{level}", features)
    if len(prepared.aux_boxes):
        _check_regions(comparison, model.region_encoder, levels, primary, prepared)


def _check_regions(
    comparison: _Comparison,
    encoder: RegionEncoder,
    levels: list[Tensor],
    primary: PrimaryFeatures,
    prepared: PreparedImage,
) -> None:
    check = comparison.check
    aux_boxes, vt_boxes = prepared.aux_boxes[None], prepared.vt_boxes[None]
    auxiliary = encoder.pool_auxiliary(levels, aux_boxes)
    pyramid = encoder.pyramid(primary.maps)
    for level, features in enumerate(pyramid):
        check(f"fpn_level{level}", features)
    pooled = encoder.pool_primary(pyramid, vt_boxes)
    check("hfre_aux_pooled", auxiliary)
    check("hfre_vt_pooled", pooled)
    normed = encoder.normalise(auxiliary, pooled)
    check("hfre_aux_normed", normed[0])
    check("hfre_vt_normed", normed[1])
    check("region_features", encoder(levels, primary.maps, aux_boxes, vt_boxes)[0])


def _check_prompts(
    comparison: _Comparison,
    checkpoint: Checkpoint,
    prepared: PreparedImage,
    encoded: ImageFeatures,
    prompts: list[dict[str, Any]],
    max_new_tokens: int,
) -> bool:
    """Each prompt's ids, embeddings, positions, states, logits; then all answers by the engine."""
    check, model, tokenizer = comparison.check, checkpoint.model, checkpoint.tokenizer
    for number, prompt in enumerate(prompts):
        ids = tokenizer.prefix_ids(len(prepared.aux_boxes)) + tokenizer.tail_ids(prompt["text"])
        check(f"p{number}.input_ids", torch.tensor(ids))
        sequence = embed_prompt(model, ids, encoded, prepared.grid_hw)
        check(f"p{number}.inputs_embeds", sequence.embeds)
        check(f"p{number}.position_ids", sequence.positions)
        check(f"p{number}.rope_deltas", torch.tensor(sequence.next_position - sequence.embeds.shape[0]))
        hidden = prompt_states(model, sequence)
        check(f"p{number}.last_hidden_state", hidden)
        check(f"p{number}.logits_last8", model.logits(hidden[-8:]))
    engine = Fo1Engine(checkpoint)
    opened = engine.open_prepared([prepared])[0]
    answers = engine.ask(
        [Question(opened, prompt["text"], max_new_tokens=max_new_tokens) for prompt in prompts]
    )
    for number, answer in enumerate(answers):
        check(f"p{number}.generated_ids", torch.tensor(answer.token_ids))
        check(f"p{number}.generated_margin", torch.tensor(answer.margins))
    return all(a.token_ids == p["generated_ids"] for a, p in zip(answers, prompts, strict=True))


def _verify_variants(checkpoint: Checkpoint, folder: Path) -> dict[str, Any]:
    """Region features, embeddings and last logits under other option values of the region encoder."""
    variants = json.loads((folder / f"{_VARIANTS}.json").read_text(encoding="utf-8"))
    expected = load_file(folder / f"{_VARIANTS}.safetensors")
    bases = sorted({name.split(".")[0] for name in expected if name.split(".")[0] not in variants})
    results = {}
    for variant, overrides in variants.items():
        own = {k.split(".weights.")[1]: v for k, v in expected.items() if k.startswith(f"{variant}.weights.")}
        changed = _with_options(checkpoint, overrides, own)
        for base in bases:
            prefix = f"{base}.{variant}."
            comparison = _Comparison(
                {k.removeprefix(prefix): v for k, v in expected.items() if k.startswith(prefix)}
            )
            _check_variant(comparison, changed, folder / base, overrides)
            unchecked = sorted(set(comparison.expected) - set(comparison.differences))
            results[f"{base}.{variant}"] = {
                "ok": not comparison.wrong and not unchecked,
                "tensors": comparison.differences,
                "tokens_equal": True,
                "wrong": comparison.wrong,
                "unchecked": unchecked,
            }
    return results


def _with_options(
    checkpoint: Checkpoint, overrides: dict[str, Any], weights: dict[str, Tensor]
) -> Checkpoint:
    """The same weights in a model of other region options; `weights` replaces those that change shape."""
    config: Fo1Config = parse_config({**checkpoint.config.raw, **overrides}, checkpoint.config.raw_overrides)
    model = checkpoint.model
    encoder = RegionEncoder(config)
    known = {k: v for k, v in model.region_encoder.state_dict().items() if k in encoder.state_dict()}
    encoder.load_state_dict({**known, **weights}, strict=True)
    changed = _shallow_copy(model)
    changed.config, changed.region_encoder = config, encoder.eval()
    return replace(checkpoint, model=changed)


def _shallow_copy(model: torch.nn.Module) -> Any:
    """A module that shares every submodule with `model` but can have one of them replaced."""
    copied = object.__new__(type(model))
    copied.__dict__ = {**model.__dict__, "_modules": dict(model._modules)}
    return copied


def _check_variant(
    comparison: _Comparison, checkpoint: Checkpoint, base: Path, overrides: dict[str, Any]
) -> None:
    case = json.loads(base.with_suffix(".json").read_text(encoding="utf-8"))
    given = load_file(base.with_suffix(".safetensors"))
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    prepared = checkpoint.processor.prepare(
        Image.fromarray(given["image_u8"].numpy()), given["boxes_xyxy"].numpy()
    )
    grid = torch.tensor([[1, *prepared.grid_hw]])
    primary = encode_primary(model.vision_tower, prepared.pixel_values, grid, all_maps=True)[0]
    levels = encode_auxiliary(model.vision_tower_aux, prepared.aux_image[None])
    features = model.region_encoder(levels, primary.maps, prepared.aux_boxes[None], prepared.vt_boxes[None])
    comparison.check("region_features", features[0])
    if not {"region_embeds", "logits_last"} & set(comparison.expected):
        return
    encoded = model.encode_images([prepared])[0]
    comparison.check("region_embeds", encoded.region_embeds)
    ids = tokenizer.prefix_ids(len(prepared.aux_boxes)) + tokenizer.tail_ids(case["prompts"][0]["text"])
    hidden = prompt_states(model, embed_prompt(model, ids, encoded, prepared.grid_hw))
    comparison.check("logits_last", model.logits(hidden[-1]))


def _compare_bfloat16(name: str, folder: Path) -> dict[str, float]:
    """Largest differences of the bfloat16 run from the reference's, for information."""
    checkpoint = load_checkpoint(name, dtype=torch.bfloat16)
    expected = load_file(folder / f"{_BFLOAT16}.safetensors")
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    differences = {}
    for base in sorted({key.split(".")[0] for key in expected if "." in key}):
        given = load_file(folder / f"{base}.safetensors")
        case = json.loads((folder / f"{base}.json").read_text(encoding="utf-8"))
        prepared = checkpoint.processor.prepare(
            Image.fromarray(given["image_u8"].numpy()), given["boxes_xyxy"].numpy()
        )
        encoded = model.encode_images([prepared])[0]
        ids = tokenizer.prefix_ids(len(prepared.aux_boxes)) + tokenizer.tail_ids(case["prompts"][0]["text"])
        hidden = prompt_states(model, embed_prompt(model, ids, encoded, prepared.grid_hw))
        actual = {
            "image_embeds": encoded.image_embeds,
            "region_embeds": encoded.region_embeds,
            "logits_last8": model.logits(hidden[-8:])[None],
        }
        for key, value in actual.items():
            want = expected.get(f"{base}.{key}")
            if want is not None:
                differences[f"{base}.{key}"] = float((value.float() - want).abs().max())
    return differences
