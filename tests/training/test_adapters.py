"""Adapters train few weights, and the checkpoint loads like any other."""

import pytest
import torch

from fo1_data.errors import CheckpointError, ConfigError
from fo1_data.model.checkpoint import describe, load_checkpoint
from fo1_data.synthetic.gold import write_scenes
from fo1_data.training.apart import merge_apart
from fo1_data.training.run import train
from fo1_data.training.samples.batches import Batches
from fo1_data.training.samples.source import open_source
from fo1_data.training.settings import TrainConfig, load_train_config
from fo1_data.training.stages import new_token_ids
from fo1_data.training.trainer import Trainer

QUICK = TrainConfig(
    measured_images=0,
    steps=4,
    batch_images=2,
    questions_per_image=4,
    save_every=3,
    auxiliary_parts=(),
    lora_rank=4,
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return str(write_scenes(tmp_path_factory.mktemp("scenes") / "s", count=4, seed=9_200_000))


@pytest.fixture(scope="module")
def adapted(scenes, tmp_path_factory):
    out = tmp_path_factory.mktemp("adapted") / "out"
    return out, train([scenes], 2, "fo1-tiny", out, QUICK)


def test_a_checkpoint_contains_the_base_weights_with_the_adapters_merged_in(adapted):
    out, _ = adapted
    description = describe(str(out))
    assert (description["missing"], description["unexpected"], description["wrong_shape"]) == ([], [], [])
    before = dict(load_checkpoint("fo1-tiny").model.named_parameters())
    tokenizer = load_checkpoint("fo1-tiny").tokenizer
    changed = {
        name: value - before[name]
        for name, value in load_checkpoint(str(out)).model.named_parameters()
        if not torch.equal(value, before[name])
    }
    in_layers = {name: value for name, value in changed.items() if name.startswith("language_model.layers.")}
    assert {name.rsplit(".", 2)[1] for name in in_layers} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"
    }  # fmt: skip
    for name, difference in in_layers.items():
        assert torch.linalg.matrix_rank(difference, rtol=1e-3) <= QUICK.lora_rank, name
    rows = changed["language_model.embed_tokens.weight"].abs().sum(dim=1).nonzero().flatten().tolist()
    assert rows
    assert set(rows) <= set(new_token_ids(tokenizer))


def test_the_written_checkpoint_has_the_loss_of_the_adapted_model(scenes, tmp_path):
    trainer = Trainer(load_checkpoint("fo1-tiny"), 2, QUICK)
    images = Batches(open_source([scenes]), trainer.checkpoint, QUICK).of_step(0)
    first, *_ = [trainer.step(images) for _ in range(3)]
    trainer.save(tmp_path / "out")
    again = Trainer(load_checkpoint(str(tmp_path / "out")), 2, QUICK)
    with torch.no_grad():
        learned = trainer.loss(images).item()
        assert again.loss(images).item() == pytest.approx(learned, rel=1e-4)
    assert learned < first


def test_a_resumed_run_equals_an_uninterrupted_one(scenes, adapted, tmp_path):
    out, document = adapted
    assert document["trained_parameters"] < 0.6 * sum(
        weight.numel() for weight in load_checkpoint("fo1-tiny").model.language_model.parameters()
    )
    train([scenes], 2, "fo1-tiny", tmp_path / "halves", QUICK.model_copy(update={"steps": 2}))
    train([scenes], 2, "fo1-tiny", tmp_path / "halves", QUICK)
    for name in ("losses.jsonl", "model.safetensors"):
        assert (tmp_path / "halves" / name).read_bytes() == (out / name).read_bytes()


def test_settings_that_exclude_each_other_are_refused(scenes, tmp_path):
    with pytest.raises(ConfigError, match="lora_rank is for stage 2"):
        train([scenes], 1, "fo1-tiny", tmp_path / "out", QUICK)
    settings = tmp_path / "t.toml"
    settings.write_text('lora_rank = 8\nsharding = "weights"\n')
    with pytest.raises(ConfigError, match="lora_rank works with sharding none or optimizer"):
        load_train_config(str(settings))
    train([scenes], 2, "fo1-tiny", tmp_path / "whole", QUICK.model_copy(update={"steps": 1, "lora_rank": 0}))
    with pytest.raises(ConfigError, match="started with lora_rank 0, not 4"):
        train([scenes], 2, "fo1-tiny", tmp_path / "whole", QUICK)


def test_what_is_kept_apart_merges_to_the_checkpoint_of_the_run(scenes, tmp_path):
    config = QUICK.model_copy(update={"keep_apart": True, "steps": 2, "auxiliary_parts": ("blocks.3.",)})
    train([scenes], 2, "fo1-tiny", tmp_path / "out", config)
    merge_apart("fo1-tiny", tmp_path / "out" / "apart", tmp_path / "merged")
    weights = [
        dict(load_checkpoint(str(tmp_path / name)).model.named_parameters()) for name in ("out", "merged")
    ]
    for name, weight in weights[0].items():
        assert torch.allclose(weight, weights[1][name], atol=1e-6), name
    small, whole = (tmp_path / "out" / name for name in ("apart/adapters.safetensors", "model.safetensors"))
    assert small.stat().st_size < 0.7 * whole.stat().st_size
    with pytest.raises(ConfigError, match="was trained from fo1-tiny"):
        merge_apart(str(tmp_path / "out"), tmp_path / "out" / "apart", tmp_path / "other")
    with pytest.raises(CheckpointError, match="holds no readable"):
        merge_apart("fo1-tiny", tmp_path, tmp_path / "other")
    content = bytearray(small.read_bytes())
    content[-1] ^= 1
    small.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"adapters.safetensors is damaged .*SHA256SUMS"):
        merge_apart("fo1-tiny", tmp_path / "out" / "apart", tmp_path / "other")


def test_a_run_that_goes_on_from_another_does_not_add_its_adapters_twice(scenes, adapted, tmp_path):
    """The checkpoint it begins with has them merged in."""
    out, _ = adapted
    train([scenes], 2, "fo1-tiny", tmp_path / "on", QUICK, resume_from=out)
    before, after = (
        dict(load_checkpoint(str(folder)).model.named_parameters()) for folder in (out, tmp_path / "on")
    )
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    on = QUICK.model_copy(update={"steps": 5})
    assert train([scenes], 2, "fo1-tiny", tmp_path / "on", on, resume_from=out)["last_loss"] is not None
