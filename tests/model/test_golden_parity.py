"""The reference implementation's tensors and tokens, and the released checkpoint's names and shapes."""

import json
from pathlib import Path

from fo1_data.model.configuration import parse_config
from fo1_data.model.golden import verify
from fo1_data.model.model_weights import empty_model
from fo1_data.model.weight_names import to_ours, to_released


def test_every_stage_and_every_token_equals_the_reference(golden: Path) -> None:
    document = verify(str(golden / "model"), golden)

    assert {name: case["wrong"] for name, case in document["cases"].items() if not case["ok"]} == {}
    assert document["ok"]
    assert len(document["cases"]) >= 7 + 14
    assert all(case["tensors"] for case in document["cases"].values())
    assert document["bfloat16"]


def test_released_configuration_has_exactly_the_released_names_and_shapes(shared: Path) -> None:
    released = json.loads((shared / "golden" / "released-state-dict.json").read_text())
    model = empty_model(parse_config(released["config_used"]))

    ours = {to_released(name): list(parameter.shape) for name, parameter in model.named_parameters()}
    theirs = {name: entry["shape"] for name, entry in released["parameters"].items()}
    tied = {"lm_head.weight": theirs["lm_head.weight"]}
    assert ours == {name: shape for name, shape in theirs.items() if name not in tied}
    assert all(to_ours(name) is not None for name in theirs)


def test_alternatives_of_the_released_configuration_are_built_too(shared: Path) -> None:
    released = json.loads((shared / "golden" / "released-state-dict.json").read_text())
    base, alternatives = released["config_used"], released["alternatives"]

    def names(**changes: object) -> dict[str, list[int]]:
        raw = {**base, **changes}
        raw.pop("mm_region_hidden_size")
        model = empty_model(parse_config(raw))
        return {to_released(name): list(parameter.shape) for name, parameter in model.named_parameters()}

    projected = names(mm_projector_type="mlp2x_gelu")
    assert alternatives["if_mm_projector_type_mlp2x_gelu"].items() <= projected.items()
    plain = names(mm_apply_region_layer_norm=False)
    assert not set(alternatives["if_no_region_layer_norm_absent"]) & set(plain)
    flat = names(mm_use_simpleFPN_for_vt=False)
    assert not set(alternatives["if_no_simple_fpn"]["absent"]) & set(flat)
    assert alternatives["if_no_simple_fpn"]["changed"].items() <= flat.items()
