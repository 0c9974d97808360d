"""`fo1 model attach`: what stays, what is new, what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from stock_bases import write_stock_base
from transformers import Florence2VisionConfig
from transformers.models.florence2.modeling_florence2 import Florence2VisionBackbone
from typer.testing import CliRunner

from fo1_data.benchmarks.operations import windowed
from fo1_data.cli.main import app
from fo1_data.errors import CheckpointError, ConfigError
from fo1_data.model.attaching.attach import attach
from fo1_data.model.attaching.base_record import BASE_RECORD
from fo1_data.model.attaching.region_tokens import REGION_TOKENS, extended_rows
from fo1_data.model.checkpoint import describe, load_checkpoint
from fo1_data.model.checkpoint_folder import BUNDLED
from fo1_data.model.weight_names import to_ours


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stock_base("qwen3_vl", tmp_path_factory.mktemp("bases") / "base")


@pytest.fixture(scope="module")
def attached(base: Path) -> Path:
    attach(str(base), BUNDLED, base.parent / "attached")
    return base.parent / "attached"


def test_every_weight_of_the_base_is_the_same_to_the_bit(base: Path, attached: Path) -> None:
    before, after = load_file(base / "model.safetensors"), load_file(attached / "model.safetensors")
    named = {to_ours(name): tensor for name, tensor in after.items()}
    for name, tensor in before.items():
        ours = name.replace("model.visual.", "vision_tower.").replace(
            "model.language_model", "language_model"
        )
        own = 262 if "embed_tokens" in name else None
        assert torch.equal(named[ours][:own], tensor[:own]), name
    sources = describe(str(attached))["sources"]
    assert [source["changed"] for source in sources] == [[], []]
    assert sources[0]["weights"] == len(before)


def test_a_changed_weight_is_named(attached: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(attached, tmp_path / "copy"))
    tensors = load_file(copy / "model.safetensors")
    tensors["model.norm.weight"][3] += 1e-3
    tensors["model.embed_tokens.weight"][-1] += 1  # the row of a new token
    save_file(tensors, copy / "model.safetensors")

    result = CliRunner().invoke(app, ["model", "info", str(copy)])

    assert result.exit_code == 0
    assert "1 of" in result.output
    assert describe(str(copy))["sources"][0]["changed"] == ["model.norm.weight"]


def test_new_tokens_have_ids_and_rows(attached: Path) -> None:
    checkpoint = load_checkpoint(str(attached))
    ids = [checkpoint.tokenizer.token_id(token) for token in REGION_TOKENS]
    assert ids == list(range(262, 262 + len(REGION_TOKENS)))
    rows = checkpoint.model.language_model.embed_tokens.weight
    assert len(rows) == 262 + len(REGION_TOKENS)
    assert len(rows[ids].unique(dim=0)) == len(ids)


def test_no_new_row_has_a_larger_logit_than_all_of_the_base() -> None:
    table = torch.randn(40, 8, generator=torch.Generator().manual_seed(1))
    whole = extended_rows(table, 40, 140, seed=0)
    logits = torch.randn(500, 8, generator=torch.Generator().manual_seed(2)) @ whole.T
    assert torch.equal(whole[:40], table)
    assert (logits.argmax(-1) < 40).all()


def test_the_same_seed_gives_the_same_files(base: Path, attached: Path, tmp_path: Path) -> None:
    attach(str(base), BUNDLED, tmp_path / "again")
    attach(str(base), BUNDLED, tmp_path / "other", seed=1)
    weights = [load_file(folder / "model.safetensors") for folder in (attached, tmp_path / "again")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    other = load_file(tmp_path / "other" / "model.safetensors")
    changed = {name for name in other if not torch.equal(other[name], weights[0][name])}
    assert any("object_vp_extractor" in name for name in changed)
    assert all("object_vp" in n or "mm_projector_aux" in n or "embed_tokens" in n for n in changed)


def test_both_licences_are_recorded(base: Path, attached: Path, tmp_path: Path) -> None:
    said = "base: apache-2.0; auxiliary tower: Apache-2.0"
    assert describe(str(attached))["licence"] == said
    attach(str(base), BUNDLED, tmp_path / "own", licence="our own")
    assert load_checkpoint(str(tmp_path / "own")).config.licence == said.replace("apache-2.0", "our own")


def write_florence(folder: Path, *, flat: bool) -> Path:
    """A folder with the weights of Florence-2's tower, by transformers' names or by the original ones."""
    config = Florence2VisionConfig(
        embed_dim=[8, 8, 12, 12],
        depths=[1, 1, 1, 1],
        num_heads=[2] * 4,
        num_groups=[2] * 4,
        drop_path_rate=0.0,
    )
    weights = Florence2VisionBackbone(config).state_dict()
    folder.mkdir(parents=True)
    prefix = "model.vision_tower." if flat else "vision_tower."
    renamed = {
        prefix
        + (name if flat else name.replace(".conv.", ".proj.").replace("conv1.", "conv1.fn.dw.")): tensor
        for name, tensor in weights.items()
    }
    save_file({**renamed, "model.language_model.other": torch.zeros(2)}, folder / "model.safetensors")
    settings = {"model_type": "florence2", "vision_config": config.to_dict(), "license": "mit"}
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize("flat", [True, False])
def test_davit_of_florence_is_taken(base: Path, tmp_path: Path, flat: bool) -> None:
    florence = write_florence(tmp_path / "florence", flat=flat)
    record = attach(str(base), str(florence), tmp_path / "out")
    checkpoint = load_checkpoint(str(tmp_path / "out"))
    assert checkpoint.config.auxiliary.dim_embed == (8, 8, 12, 12)
    assert checkpoint.config.licence == "base: apache-2.0; auxiliary tower: mit"
    own = load_file(florence / "model.safetensors")
    name = next(name for name in own if name.endswith("blocks.2.0.spatial_block.ffn.fc1.weight"))
    ours = checkpoint.model.vision_tower_aux.blocks[2][0].spatial_block.ffn.fc1.weight
    assert torch.equal(ours, own[name])
    assert len(record.auxiliary.sha256) == len(own) - 1


@pytest.mark.parametrize(
    ("model_type", "message"),
    [
        ("qwen3_5", "linear attention"),
        ("qwen4_exp", "linear attention"),
        ("lfm2_vl", "convolutions"),
        ("internvl", "tiles"),
        ("llama", "not a base that is known here; known: qwen2_5_vl, qwen3_vl, paddleocr_vl"),
    ],
)
def test_other_families_are_refused_with_the_reason(tmp_path: Path, model_type: str, message: str) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text(json.dumps({"model_type": model_type}))
    result = CliRunner().invoke(
        app, ["model", "attach", "--base", str(base), "--aux", BUNDLED, "--out", str(tmp_path / "out")]
    )
    assert isinstance(result.exception, CheckpointError)
    assert message in str(result.exception)
    assert "qwen3_vl" in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not (tmp_path / "out").exists()


def _without(folder: Path, name: str) -> None:
    (folder / name).unlink()


def _scaled_positions(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["rope_parameters"]["rope_type"] = "yarn"
    (folder / "config.json").write_text(json.dumps(config))


def _without_chat_tokens(folder: Path) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["added_tokens_decoder"]["261"], config["added_tokens_decoder"]["260"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: _without(folder, "config.json"), "no config.json"),
        (lambda folder: _without(folder, "model.safetensors"), "no model.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "cannot be read"),
        (lambda folder: _without(folder, "vocab.json"), "tokenizer does not load"),
        (_scaled_positions, "rotary positions of type yarn"),
        (_without_chat_tokens, r"no <\|vision_end\|>"),
    ],
)
def test_a_base_that_cannot_be_read_is_refused(
    base: Path, tmp_path: Path, spoil: object, message: str
) -> None:
    copy = Path(shutil.copytree(base, tmp_path / "copy"))
    spoil(copy)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=message) as refusal:
        attach(str(copy), BUNDLED, tmp_path / "out")
    assert "\n" not in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_what_is_measured_against_another_family_is_refused(attached: Path) -> None:
    with pytest.raises(ConfigError, match="Qwen2.5-VL; the base here is qwen3_vl"):
        windowed(load_checkpoint(str(attached)).config)


def test_an_existing_folder_is_not_written_to(base: Path, attached: Path) -> None:
    before = (attached / BASE_RECORD).read_bytes()
    arguments = ["model", "attach", "--base", str(base), "--aux", BUNDLED, "--out", str(attached)]
    result = CliRunner().invoke(app, arguments)
    assert "is not empty: name a new folder" in str(result.exception)
    assert (attached / BASE_RECORD).read_bytes() == before
