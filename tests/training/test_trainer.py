"""Training: the weights a stage changes, losses of packed and padded batches, exact resume."""

import json
from pathlib import Path

import pytest
from factories import make_dataset, make_row
from random_checkpoint import write_random_checkpoint

torch = pytest.importorskip("torch")

from fo1_data.dataset.versions.lineage import trace  # noqa: E402
from fo1_data.errors import CheckpointError, ConfigError, DatasetError  # noqa: E402
from fo1_data.model.checkpoint import load_checkpoint  # noqa: E402
from fo1_data.synthetic.gold import write_scenes  # noqa: E402
from fo1_data.training.optimiser import scheduled_rate  # noqa: E402
from fo1_data.training.packing import IGNORED, answer_loss, decode_packed  # noqa: E402
from fo1_data.training.run import train  # noqa: E402
from fo1_data.training.samples.batches import Batches  # noqa: E402
from fo1_data.training.samples.source import open_source  # noqa: E402
from fo1_data.training.samples.training_image import TrainingImage  # noqa: E402
from fo1_data.training.settings import TrainConfig, load_train_config  # noqa: E402
from fo1_data.training.stages import new_token_ids  # noqa: E402
from fo1_data.training.trainer import Trainer  # noqa: E402

QUICK = TrainConfig(
    steps=4,
    batch_images=2,
    questions_per_image=6,
    warmup_steps=0,
    decay_share=0,
    save_every=2,
    measured_images=0,
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return str(write_scenes(tmp_path_factory.mktemp("scenes") / "corpus", 5, 70, (3, 6)))


def changed_names(stage, scenes, config):
    trainer = Trainer(load_checkpoint("fo1-tiny"), stage, config)
    before = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    trainer.step(Batches(open_source([scenes]), trainer.checkpoint, config).of_step(0))
    after = dict(trainer.model.named_parameters())
    return trainer, before, {name for name in before if not torch.equal(before[name], after[name])}


def test_stage_1_changes_regions_connectors_and_new_tokens_only(scenes):
    trainer, before, changed = changed_names(1, scenes, QUICK)
    embeddings = "language_model.embed_tokens.weight"
    trained = {n for n in before if n.startswith(("region_encoder.", "region_projector."))} | {embeddings}
    assert changed == trained
    new = set(new_token_ids(trainer.checkpoint.tokenizer))
    rows = (before[embeddings] != trainer.model.language_model.embed_tokens.weight).any(1).nonzero()[:, 0]
    assert set(rows.tolist()) <= new
    assert len(rows)


def test_an_untied_head_learns_only_the_new_tokens(scenes, tmp_path):
    folder = write_random_checkpoint(tmp_path / "untied", tie_word_embeddings=False)
    adapted = QUICK.model_copy(update={"auxiliary_parts": (), "lora_rank": 2})
    for stage, config in ((1, QUICK), (2, adapted)):
        trainer = Trainer(load_checkpoint(str(folder)), stage, config)
        before = trainer.model.lm_head.weight.detach().clone()
        for step in range(2):
            trainer.step(Batches(open_source([scenes]), trainer.checkpoint, config).of_step(step))
        rows = (before != trainer.model.lm_head.weight).any(1).nonzero()[:, 0].tolist()
        assert rows
        assert set(rows) <= set(new_token_ids(trainer.checkpoint.tokenizer))


def test_stage_2_changes_the_language_model_and_the_chosen_auxiliary_parts_too(scenes):
    config = QUICK.model_copy(update={"auxiliary_parts": ("blocks.3.",)})
    _, before, changed = changed_names(2, scenes, config)
    trained = ("region_encoder.", "region_projector.", "language_model.", "vision_tower_aux.blocks.3.")
    # A bias of keys changes all scores of a row equally: the softmax gives it no gradient but rounding.
    unchanged = {name for name in before if name.startswith(trained)} - changed
    assert all("k_proj.bias" in name for name in unchanged)
    assert all(name.startswith(trained) for name in changed)


def test_an_auxiliary_part_that_names_nothing_is_refused():
    config = QUICK.model_copy(update={"auxiliary_parts": ("blocks.9.",)})
    with pytest.raises(ConfigError, match=r"blocks\.9"):
        Trainer(load_checkpoint("fo1-tiny"), 2, config)


def test_a_padded_batch_and_single_samples_have_the_same_loss(scenes):
    """Also single questions: packed questions do not see each other."""
    config = QUICK.model_copy(update={"batch_images": 4})
    trainer = Trainer(load_checkpoint("fo1-tiny"), 2, config)
    images = Batches(open_source([scenes]), trainer.checkpoint, config).of_step(0)
    with torch.no_grad():
        together = trainer.loss(images).item()
        weights = [int((image.packed.targets != -100).sum()) for image in images]
        alone = [trainer.loss([image]).item() for image in images]
        single = [
            (trainer.loss([part]).item(), int((part.packed.targets != -100).sum()))
            for part in split(images[0])
        ]
    assert together == pytest.approx(
        sum(a * w for a, w in zip(alone, weights, strict=True)) / sum(weights), abs=1e-5
    )
    assert alone[0] == pytest.approx(sum(a * w for a, w in single) / weights[0], abs=1e-5)


def split(image):
    packed = image.packed
    for number in range(int(packed.owner.max()) + 1):
        own = packed.owner == number
        parts = (packed.ids[own], packed.offsets[own], packed.owner[own] * 0, packed.targets[own])
        yield TrainingImage(image.prepared, type(packed)(*parts))


def test_a_resumed_run_has_the_losses_of_an_uninterrupted_one(scenes, tmp_path):
    whole = train([scenes], 2, "fo1-tiny", tmp_path / "whole", QUICK)
    train([scenes], 2, "fo1-tiny", tmp_path / "halves", QUICK.model_copy(update={"steps": 2}))
    again = train([scenes], 2, "fo1-tiny", tmp_path / "halves", QUICK)
    assert again["resumed"]
    assert not whole["resumed"]
    assert losses(tmp_path / "whole") == losses(tmp_path / "halves")
    names = ("model.safetensors", "config.json", "vocab.json")
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "halves" / name).read_bytes()
    load_checkpoint(str(tmp_path / "halves"))


def test_a_checkpoint_trained_from_another_is_traced_through_both(scenes, tmp_path):
    other = str(write_scenes(tmp_path / "other", count=3, seed=9_400_000))
    first = QUICK.model_copy(update={"steps": 1})
    train([scenes], 2, "fo1-tiny", tmp_path / "first", first)
    train([other], 2, str(tmp_path / "first"), tmp_path / "second", first)
    again = train([other], 2, str(tmp_path / "first"), tmp_path / "second", QUICK)
    assert again["resumed"]
    lineage = trace(str(tmp_path / "second"), with_images=True)
    assert lineage["model"] == str(tmp_path / "first")
    assert [source["address"] for source in lineage["inputs"]] == [other]
    assert [source["address"] for source in lineage["model_lineage"]["inputs"]] == [scenes]
    alone = {name: trace(str(tmp_path / name))["num_images"] for name in ("first", "second")}
    assert alone["second"] == alone["first"] + 3 == len(lineage["images"])


def losses(folder):
    lines = map(json.loads, (folder / "losses.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if "loss" in line]


def zebras(scenes, folder):
    """A corpus of the first scene, under a name that the model does not know."""
    listing = folder / "one.jsonl"
    line = json.loads(Path(scenes).read_text().splitlines()[0])
    line["image"] = str(Path(scenes).parent / line["image"])
    line["regions"] = [region | {"caption": "zebra"} for region in line["regions"]]
    listing.write_text(json.dumps(line) + "\n")
    return str(listing)


def test_training_lowers_the_loss_on_its_data(scenes, tmp_path):
    config = QUICK.model_copy(
        update={
            "steps": 12,
            "learning_rate": 1e-3,
            "shuffle_boxes": False,
            "batch_images": 1,
            "box_jitter": 0.0,
        }
    )
    document = train([zebras(scenes, tmp_path)], 2, "fo1-tiny", tmp_path / "out", config)
    assert document["last_loss"] < 0.7 * document["first_loss"]


def test_a_run_in_bfloat16_has_about_the_losses_of_float32_and_logs_its_steps(scenes, tmp_path):
    corpus = zebras(scenes, tmp_path)
    # Adam's first updates have the size of the rate, in the direction of signs that rounding decides.
    whole = QUICK.model_copy(update={"steps": 2, "batch_images": 1, "learning_rate": 5e-5})
    train([corpus], 2, "fo1-tiny", tmp_path / "half", whole.model_copy(update={"precision": "bfloat16"}))
    train([corpus], 2, "fo1-tiny", tmp_path / "whole", whole)
    assert losses(tmp_path / "whole")[1] > 0.1, "there is something to learn"
    assert losses(tmp_path / "half") != losses(tmp_path / "whole")
    assert losses(tmp_path / "half") == pytest.approx(losses(tmp_path / "whole"), rel=0.05)
    lines = map(json.loads, (tmp_path / "half" / "losses.jsonl").read_text().splitlines())
    line = [line for line in lines if "loss" in line][-1]
    assert set(line) == {"step", "loss", "learning_rate", "gradient_norm"}
    assert line["learning_rate"] == whole.learning_rate
    assert line["gradient_norm"] > 0


def test_another_run_or_a_damaged_one_is_not_resumed(scenes, tmp_path):
    config = QUICK.model_copy(update={"steps": 1})
    train([scenes], 1, "fo1-tiny", tmp_path / "out", config)
    with pytest.raises(ConfigError, match="started with stage 1, not 2"):
        train([scenes], 2, "fo1-tiny", tmp_path / "out", config)
    again = config.model_copy(update={"batch_images": 3})
    with pytest.raises(ConfigError, match="started with batch_images 2, not 3: use the same, or another"):
        train([scenes], 1, "fo1-tiny", tmp_path / "out", again)
    slower = config.model_copy(update={"learning_rate": 1e-5, "steps": 2})
    assert train([scenes], 1, "fo1-tiny", tmp_path / "out", slower)["resumed"]
    (tmp_path / "out" / "training.pt").write_bytes(b"cut off")
    with pytest.raises(CheckpointError, match=r"training\.pt is damaged .*: delete it to start again"):
        train([scenes], 1, "fo1-tiny", tmp_path / "out", slower)


def test_data_without_boxes_is_refused(tmp_path):
    listing = tmp_path / "none.jsonl"
    listing.write_text(json.dumps({"image": "a.png"}) + "\n")
    with pytest.raises(DatasetError, match="no image with a box"):
        open_source([str(listing)])


def test_only_the_split_train_is_trained_on(tmp_path):
    splits = ["train", "validation", "test", "train"]
    rows = [make_row(number, split=split) for number, split in enumerate(splits)]
    make_dataset(tmp_path / "all", rows)
    source = open_source([str(tmp_path / "all")])
    assert {source.at(place).row.split for place in range(len(source))} == {"train"}
    assert len(source) == len(list(source.entries())) == 2
    make_dataset(tmp_path / "held-out", rows[1:3])
    with pytest.raises(DatasetError, match="has no split train"):
        open_source([str(tmp_path / "held-out")])


def test_settings_are_read_and_unknown_ones_named(tmp_path):
    path = tmp_path / "t.toml"
    path.write_text("learning_rate = 0.5\nbatch_images = 3\n")
    assert (
        load_train_config(str(path), 7).model_dump() | {"steps": 7}
        == load_train_config(str(path), 7).model_dump()
    )
    assert load_train_config(str(path)).learning_rate == 0.5
    path.write_text("learning_rat = 0.5\n")
    with pytest.raises(ConfigError, match="learning_rat"):
        load_train_config(str(path))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_train_config(str(tmp_path / "no.toml"))


def test_the_learning_rate_warms_up_and_decays():
    config = TrainConfig(steps=100, warmup_steps=10, decay_share=0.5, learning_rate=1.0)
    rates = [scheduled_rate(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[30] == 1.0
    assert rates[-1] == pytest.approx(0.02)


def test_answers_alone_have_the_states_and_gradients_of_all_tokens(scenes):
    """The last layer computes nothing else; sequences with fewer answers change nothing."""
    config = QUICK.model_copy(update={"batch_images": 3})
    trainer = Trainer(load_checkpoint("fo1-tiny"), 2, config)
    images = Batches(open_source([scenes]), trainer.checkpoint, config).of_step(0)

    def gradients(answers_alone):
        trainer.optimiser.zero_grad()
        states, batch = trainer.decode(images)
        is_answer = batch.targets_BL != IGNORED
        if not answers_alone:
            states = decode_packed(trainer.model, batch)[is_answer]
        assert len(set(is_answer.sum(1).tolist())) > 1
        loss, _ = answer_loss(trainer.model, states, batch.targets_BL, weights_BL=batch.weights_BL)
        loss.backward()
        weights = {name: weight.grad for name, weight in trainer.trained.items()}
        return states.detach(), {name: grad.clone() for name, grad in weights.items() if grad is not None}

    states, of_answers = gradients(True)
    all_states, of_all = gradients(False)
    torch.testing.assert_close(states, all_states, atol=1e-5, rtol=1e-5)
    assert of_answers.keys() == of_all.keys()
    for name, gradient in of_all.items():
        torch.testing.assert_close(of_answers[name], gradient, atol=1e-4, rtol=1e-4)
