"""The plain second implementation against the reference's tensors, and the golden set made with it."""

import json
from pathlib import Path

import pytest
import torch
from make_golden import CASES, GOLDEN, compute_case
from PIL import Image
from plain_model import PlainModel
from safetensors.torch import load_file

from fo1_data.model.golden import verify
from fo1_data.model.golden_case import TOLERANCE

GIVEN = {"image_u8", "boxes_xyxy"}
EXACT = ("pixel_values", "image_grid_thw", "input_ids", "position_ids", "generated_ids")


def misfits(actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> list[str]:
    """Names whose tensors differ, or that are missing."""
    wrong = [name for name in expected if name not in actual]
    for name in expected.keys() & actual.keys():
        if actual[name].shape != expected[name].shape:
            wrong.append(name)
        elif name.rpartition(".")[2] in EXACT:
            wrong += [name] * (not torch.equal(actual[name], expected[name]))
        else:
            near = torch.allclose(actual[name].float(), expected[name].float(), TOLERANCE, TOLERANCE)
            wrong += [name] * (not near)
    return wrong


def computed(model: PlainModel, path: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A stored case's tensors made again, and the stored ones."""
    expected = load_file(path.with_suffix(".safetensors"))
    prompts = json.loads(path.with_suffix(".json").read_text())["prompts"]
    image = Image.fromarray(expected["image_u8"].numpy())
    questions = [prompt["text"] for prompt in prompts]
    actual = compute_case(model, image, expected["boxes_xyxy"].numpy(), questions)
    for number, prompt in enumerate(prompts):
        assert actual[f"p{number}.generated_ids"].tolist() == prompt["generated_ids"]
    return actual, expected


def test_it_equals_the_reference(golden: Path) -> None:
    model = PlainModel(golden / "model")
    for case in json.loads((golden / "index.json").read_text())["cases"]:
        assert misfits(*computed(model, golden / "cases" / case["id"])) == [], case["id"]


@pytest.mark.parametrize("name", CASES)
def test_the_golden_set_is_what_it_makes(name: str) -> None:
    assert misfits(*computed(PlainModel(GOLDEN / "model"), GOLDEN / "cases" / name)) == []


def test_every_stage_and_every_token_of_the_library_equals_the_golden_set() -> None:
    document = verify(str(GOLDEN / "model"), GOLDEN)

    assert {name: case["wrong"] for name, case in document["cases"].items() if not case["ok"]} == {}
    assert document["ok"]
    assert set(document["cases"]) == set(CASES)
    assert all(len(case["tensors"]) > 20 for case in document["cases"].values())
