"""A base with regions through the commands: train in both stages, resume, label, calibrate."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from stock_bases import write_stock_base
from typer.testing import CliRunner

from fo1_data.cli.main import app
from fo1_data.dataset.reader import open_dataset
from fo1_data.labelling.live import LiveLabeller
from fo1_data.model.attaching.attach import attach
from fo1_data.model.checkpoint import describe, load_checkpoint
from fo1_data.model.checkpoint_folder import BUNDLED
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import Question
from fo1_data.synthetic.gold import write_scenes
from schemas.live import LiveAnswer, LiveRequest

SETTINGS = """
batch_images = 1
questions_per_image = 2
warmup_steps = 0
decay_share = 0
learning_rate = 1e-3
measured_images = 0
save_every = 1
threads = 1
device = "cpu"
"""
QUESTIONS = ["Why?", "How many rings are there?", "What is on the left?", "Please read it."]


def fo1(*arguments: object) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes") / "corpus", 4, 70, (2, 3))


@pytest.fixture(scope="module", params=["qwen3_vl", "paddleocr_vl"])
def untrained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    base = write_stock_base(request.param, folder / "base")
    attach(str(base), BUNDLED, folder / "untrained")
    (folder / "settings.toml").write_text(SETTINGS)
    (folder / "adapters.toml").write_text(f"{SETTINGS}lora_rank = 2\nkeep_apart = true\n")
    return folder / "untrained"


def train(
    scenes: Path, model: Path, out: Path, stage: int, steps: int, settings: str = "settings.toml"
) -> dict[str, Any]:
    options = ["--config", model.parent / settings, "--steps", steps, "--model", model, "--out", out]
    return fo1("train", scenes, "--stage", stage, *options)


@pytest.fixture(scope="module")
def stage_1(scenes: Path, untrained: Path) -> Path:
    train(scenes, untrained, untrained.parent / "one", 1, 3)
    return untrained.parent / "one"


def answers_without_regions(model: Path) -> list[list[int]]:
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (70, 90, 3), dtype=np.uint8))
    none = np.zeros((0, 4), np.float32)
    engine = Fo1Engine(load_checkpoint(str(model)))
    opened = engine.open([(image, none), (None, none)])
    asked = [Question(shown, text, max_new_tokens=12) for shown in opened for text in QUESTIONS]
    return [answer.token_ids for answer in engine.ask(asked)]


def test_stage_1_changes_no_answer_without_regions_and_no_weight_of_the_base(
    untrained: Path, stage_1: Path
) -> None:
    before, after = load_checkpoint(str(untrained)), load_checkpoint(str(stage_1))
    name = "region_projector.2.weight"
    assert not torch.equal(before.model.get_parameter(name), after.model.get_parameter(name))
    assert [source["changed"] for source in describe(str(stage_1))["sources"]] == [[], []]
    assert answers_without_regions(stage_1) == answers_without_regions(untrained)


def test_an_interrupted_stage_1_ends_with_the_same_weights(
    scenes: Path, untrained: Path, stage_1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fo1_data.training.run import train as train_here
    from fo1_data.training.settings import load_train_config

    settings = load_train_config(str(untrained.parent / "settings.toml"), 3)
    begun = train_here(
        [str(scenes)], 1, str(untrained), tmp_path / "again", settings, stop_requested=lambda: "SIGTERM"
    )
    assert begun["stopped"] == "SIGTERM"
    train(scenes, untrained, tmp_path / "again", 1, 3)
    whole, resumed = load_checkpoint(str(stage_1)).model, load_checkpoint(str(tmp_path / "again")).model
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, resumed.get_parameter(name)), name


def test_stage_2_and_then_labels_with_both_licences_and_a_calibration(
    scenes: Path, stage_1: Path, tmp_path: Path
) -> None:
    train(scenes, stage_1, stage_1.parent / "two", 2, 2)
    assert describe(str(stage_1.parent / "two"))["sources"][0]["changed"]

    options = ["--model", stage_1.parent / "two", "--proposals", "corpus", "--address", "in-process"]
    fo1("label", scenes, "--out", tmp_path / "run", "--max-new-tokens", 6, *options)

    rows = list(open_dataset(str(tmp_path / "run")).rows())
    assert len(rows) == 4
    licence = "base: apache-2.0; auxiliary tower: Apache-2.0"
    assert {row.provenance.licence for row in rows} == {licence}
    lines = [json.loads(line) for line in scenes.read_text().splitlines()]
    captions = {row.uri.rpartition("/")[2]: [region.brief_caption for region in row.regions] for row in rows}
    for number, line in enumerate(lines):
        line["image"] = str(scenes.parent / line["image"])
        found = captions[line["image"].rpartition("/")[2]]
        for region, caption in zip(line["regions"], found, strict=True):
            region["caption"] = caption if number % 2 else "something else"
    gold = tmp_path / "gold.jsonl"
    gold.write_text("\n".join(map(json.dumps, lines)))
    document = fo1("calibrate", tmp_path / "run", "--gold", gold, "--out", tmp_path / "calibration.json")
    assert document["kinds"]["brief_caption"]["labels"] > 0


def test_adapters_merge_to_the_checkpoint_of_their_run(scenes: Path, stage_1: Path, tmp_path: Path) -> None:
    out, merged = tmp_path / "out", tmp_path / "merged"
    train(scenes, stage_1, out, 2, 2, "adapters.toml")
    fo1("model", "merge", stage_1, "--adapters", out / "apart", "--out", merged)
    of_run, of_merge = (
        dict(load_checkpoint(str(folder)).model.named_parameters()) for folder in (out, merged)
    )
    for name, weight in of_run.items():
        assert torch.allclose(weight, of_merge[name], atol=1e-6), name
    assert describe(str(out))["sources"] == describe(str(merged))["sources"]
    assert describe(str(out))["sources"][0]["changed"]


def test_live_answers_are_those_of_a_run(scenes: Path, stage_1: Path, tmp_path: Path) -> None:
    options = ["--model", stage_1, "--proposals", "corpus", "--labels", "brief_caption", "--limit", 1]
    fo1(
        "label",
        scenes,
        "--out",
        tmp_path / "run",
        "--max-new-tokens",
        64,
        "--address",
        "in-process",
        *options,
    )
    (row,) = open_dataset(str(tmp_path / "run")).rows()
    request = LiveRequest(
        image_id=row.image_id,
        image_base64=base64.b64encode(Path(row.uri).read_bytes()).decode(),
        boxes_xyxy=[region.box_xyxy for region in row.regions],
    )
    (answer,) = LiveLabeller(str(stage_1)).answer([request])
    assert isinstance(answer, LiveAnswer), answer
    assert [region.brief_caption for region in answer.regions] == [r.brief_caption for r in row.regions]
