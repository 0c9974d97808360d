"""Compares a model with tensors and tokens of the reference implementation, stage by stage.

Every stage is computed by the code that labels. Float32 cases must agree within atol = rtol = 1e-4, and
their pixel values, ids and generated tokens must be identical; bfloat16 figures are for information.
A golden folder has `index.json` and `cases/<case>.{json,safetensors}`. Options of the region encoder are in
`cases/hfre_variants.*`, bfloat16 tensors in `cases/bf16.safetensors`; both are optional.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fo1_data.errors import CheckpointError
from fo1_data.model.bases.vision_tower import PrimaryFeatures
from fo1_data.model.checkpoint import Checkpoint, load_checkpoint
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import Question
from fo1_data.model.golden_case import TOLERANCE, GoldenCase, TensorComparison
from fo1_data.model.golden_variants import bfloat16_differences, compare_variants
from fo1_data.model.modeling import Fo1Model, ImageFeatures
from fo1_data.model.prefix_states import prompt_states
from fo1_data.model.processing import PreparedImage
from fo1_data.model.region_encoder import RegionEncoder
from fo1_data.model.region_fusion import embed_prompt


@torch.inference_mode()
def verify(model: str, golden: Path) -> dict[str, Any]:
    """Compare every stored tensor of every case; the document that `fo1 model verify --json` prints."""
    if not (golden / "index.json").is_file():
        raise CheckpointError(f"{golden}: no index.json; --golden takes a folder of reference tensors")
    checkpoint = load_checkpoint(model)
    index = json.loads((golden / "index.json").read_text(encoding="utf-8"))
    folder = golden / "cases"
    cases: dict[str, Any] = {}
    for entry in index["cases"]:
        case = GoldenCase.load(folder / entry["id"])
        cases[entry["id"]] = _verify_case(checkpoint, case, index.get("n_new_tokens", 24))
    if (folder / "hfre_variants.json").is_file():
        cases |= compare_variants(checkpoint, folder / "hfre_variants")
    document: dict[str, Any] = {
        "ok": all(case["ok"] for case in cases.values()),
        "max_abs": max((v for case in cases.values() for v in case["tensors"].values()), default=0.0),
        "tolerance": TOLERANCE,
        "cases": cases,
    }
    if (folder / "bf16.safetensors").is_file():
        in_bfloat16 = load_checkpoint(model, dtype=torch.bfloat16)
        document["bfloat16"] = bfloat16_differences(in_bfloat16, folder / "bf16.safetensors")
    return document


def _verify_case(checkpoint: Checkpoint, case: GoldenCase, max_new_tokens: int) -> dict[str, Any]:
    comparison, prepared = TensorComparison(case.tensors), case.prepare(checkpoint)
    _check_stages(comparison, checkpoint, prepared)
    encoded = checkpoint.model.encode_images([prepared])[0]
    comparison.check("region_embeds", encoded.region_embeds)
    equal = _check_prompts(comparison, checkpoint, prepared, encoded, case.prompts, max_new_tokens)
    return comparison.result(tokens_equal=equal)


def _check_stages(comparison: TensorComparison, checkpoint: Checkpoint, prepared: PreparedImage) -> None:
    """Image preparation, both towers, and the region encoder's parts."""
    check, model = comparison.check, checkpoint.model
    check("pixel_values", prepared.pixel_values)
    check("image_grid_thw", torch.tensor([[1, *prepared.grid_hw]]))
    check("aux_image", prepared.aux_image)
    check("aux_boxes", prepared.aux_boxes)
    check("vt_boxes", prepared.vt_boxes)
    primary = model.vision_tower.encode(prepared.pixel_values, [prepared.grid_hw], all_maps=True)[0]
    for level, features in enumerate(primary.maps):
        check(f"vit_level{level}", features)
    check("vit_merger_window_order", primary.image_embeds[_reference_order(model, prepared.grid_hw)])
    check("image_embeds", model.image_projector(primary.image_embeds))
    levels = model.vision_tower_aux(prepared.aux_image[None])
    for level, features in enumerate(levels):
        check(f"davit_level{level}", features)
    if len(prepared.aux_boxes):
        _check_regions(comparison, model.region_encoder, levels, primary, prepared)


def _reference_order(model: Fo1Model, grid_hw: tuple[int, int]) -> Tensor:
    """Raster index of each image token in the reference's order."""
    return torch.from_numpy(model.vision_tower.reference_order(grid_hw))


def _check_regions(
    comparison: TensorComparison,
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
    comparison: TensorComparison,
    checkpoint: Checkpoint,
    prepared: PreparedImage,
    encoded: ImageFeatures,
    prompts: list[dict[str, Any]],
    max_new_tokens: int,
) -> bool:
    """Ids, embeddings, positions, states and logits of each prompt; returns whether all answers are equal."""
    check, model, tokenizer = comparison.check, checkpoint.model, checkpoint.tokenizer
    for number, prompt in enumerate(prompts):
        ids = tokenizer.prefix_ids(len(prepared.aux_boxes)) + tokenizer.tail_ids(prompt["text"])
        check(f"p{number}.input_ids", torch.tensor(ids))
        sequence = embed_prompt(model, ids, encoded, prepared.grid_hw)
        check(f"p{number}.inputs_embeds", sequence.embeds)
        check(f"p{number}.position_ids", sequence.positions)
        check(f"p{number}.rope_deltas", torch.tensor(sequence.next_position - sequence.embeds.shape[0]))
        states_PD = prompt_states(model, sequence)
        check(f"p{number}.last_hidden_state", states_PD)
        check(f"p{number}.logits_last8", model.logits(states_PD[-8:]))
    engine = Fo1Engine(checkpoint)
    opened = engine.open_prepared([prepared])[0]
    answers = engine.ask(
        [Question(opened, prompt["text"], max_new_tokens=max_new_tokens) for prompt in prompts]
    )
    for number, answer in enumerate(answers):
        check(f"p{number}.generated_ids", torch.tensor(answer.token_ids))
        check(f"p{number}.generated_margin", torch.tensor(answer.margins))
    return all(a.token_ids == p["generated_ids"] for a, p in zip(answers, prompts, strict=True))
