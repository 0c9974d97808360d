"""Checkpoints load strictly: what is missing, unexpected or misshapen is named, and nothing is guessed."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fo1_data.errors import CheckpointError
from fo1_data.model.checkpoint import Checkpoint, describe, load_checkpoint
from fo1_data.model.checkpoint_files import save_checkpoint
from fo1_data.model.checkpoint_folder import checkpoint_sha256, model_domain
from fo1_data.model.checksums import forget_sums
from fo1_data.model.weight_names import to_ours, to_released


@pytest.fixture
def copied(random_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(random_folder, tmp_path / "copy"))


def _rewrite(folder: Path, change: object) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)  # type: ignore[operator]
    save_file(tensors, folder / "model.safetensors")


def test_names_go_both_ways(random_checkpoint: Checkpoint) -> None:
    for name, _ in random_checkpoint.model.named_parameters():
        assert to_ours(to_released(name)) == name


def test_shards_are_read_as_one(copied: Path, random_checkpoint: Checkpoint) -> None:
    tensors = load_file(copied / "model.safetensors")
    names = sorted(tensors)
    (copied / "model.safetensors").unlink()
    weight_map = {}
    for part in range(3):
        file = f"model-{part + 1:05}-of-00003.safetensors"
        chosen = names[part::3]
        save_file({name: tensors[name] for name in chosen}, copied / file)
        weight_map |= dict.fromkeys(chosen, file)
    (copied / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    loaded = load_checkpoint(str(copied)).model

    for name, parameter in random_checkpoint.model.named_parameters():
        assert torch.equal(parameter, loaded.get_parameter(name)), name


def test_a_missing_weight_is_named(copied: Path) -> None:
    _rewrite(copied, lambda tensors: tensors.pop("model.norm.weight"))
    with pytest.raises(CheckpointError, match=r"missing: model\.norm\.weight"):
        load_checkpoint(str(copied))
    assert describe(str(copied))["missing"] == ["model.norm.weight"]


def test_an_unexpected_weight_is_named(copied: Path) -> None:
    _rewrite(copied, lambda tensors: tensors.update({"model.odd.weight": torch.zeros(2)}))
    with pytest.raises(CheckpointError, match=r"unexpected: model\.odd\.weight"):
        load_checkpoint(str(copied))


def test_a_misshapen_weight_is_named_with_both_shapes(copied: Path) -> None:
    _rewrite(copied, lambda tensors: tensors.update({"model.norm.weight": torch.zeros(7)}))
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight is \[7\], expected \[32\]"):
        load_checkpoint(str(copied))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, "not a VLM-FO1 checkpoint"),
        ({"mm_region_hidden_size": 99}, "mm_region_hidden_size is 99"),
        ({"mm_pos_embedding_strategy": "learned"}, "mm_pos_embedding_strategy"),
        ({"rope_scaling": None}, "mrope_section"),
        ({"vision_config": {}}, "lacks or misspells"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(copied: Path, change: dict, message: str) -> None:
    raw = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**raw, **change}))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(str(copied))


def test_a_truncated_file_is_one_clear_error(copied: Path) -> None:
    data = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(str(copied))


@pytest.mark.parametrize("name", ["no/such/folder", "/nowhere", "plain-name"])
def test_a_name_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        load_checkpoint(name)


def test_saving_and_loading_changes_no_weight(random_checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(random_checkpoint.model, random_checkpoint.folder, tmp_path / "saved")
    assert checkpoint_sha256(tmp_path / "saved") != ""
    loaded = load_checkpoint(str(tmp_path / "saved")).model
    for name, parameter in random_checkpoint.model.named_parameters():
        assert torch.equal(parameter, loaded.get_parameter(name)), name


def test_other_weights_are_not_said_to_know_what_their_source_knows(
    random_checkpoint: Checkpoint, copied: Path, tmp_path: Path
) -> None:
    (copied / "model_card.json").write_text(json.dumps({"license": "MIT", "domain": "shapes"}))
    save_checkpoint(random_checkpoint.model, copied, tmp_path / "trained")
    assert (model_domain(copied), model_domain(tmp_path / "trained")) == ("shapes", None)
    assert json.loads((tmp_path / "trained" / "model_card.json").read_text()) == {"license": "MIT"}


def test_the_fingerprint_of_weights_sees_one_changed_number(copied: Path) -> None:
    forget_sums(copied)
    before = checkpoint_sha256(copied)
    _rewrite(copied, lambda tensors: tensors["model.norm.weight"].add_(1e-3))
    assert checkpoint_sha256(copied) != before
