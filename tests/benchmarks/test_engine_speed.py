"""The engine benchmark: equal answers of engine and loop, also with random weights."""

import json
import re
from pathlib import Path

import pytest
import torch
from random_checkpoint import OVERRIDES, raw_config
from typer.testing import CliRunner

from fo1_data.benchmarks.engine_speed import EngineBench
from fo1_data.benchmarks.engine_ways import PEERS
from fo1_data.benchmarks.transformers_towers import encode_by_transformers
from fo1_data.benchmarks.workload import make_workload
from fo1_data.cli.main import app
from fo1_data.errors import ConfigError
from fo1_data.model import presets
from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.checkpoint_folder import BUNDLED
from fo1_data.model.configuration import parse_config
from schemas.labels import LabelKind


def test_random_weights_are_measured_with_equal_answers() -> None:
    small = parse_config(raw_config(vocab_size=800), OVERRIDES)
    checkpoint = presets.random_checkpoint("small", small, device=torch.device("cpu"), dtype=torch.float32)
    workload = make_workload(3, 7, [LabelKind.BRIEF_CAPTION, LabelKind.OCR], 5, seed=1, edge_px=120)
    messages: list[str] = []

    document = EngineBench(checkpoint, workload, 2, report=messages.append).run()

    assert document["answers_equal"] is True
    assert workload.num_regions == 21
    assert document["ratio"] == pytest.approx(
        document["engine"]["regions_per_s"] / document["loop"]["regions_per_s"]
    )
    assert document["peers_equal"]
    assert all(document[f"ratio_{peer}"] > 0 for peer in PEERS)
    assert document["skipped"] == {}
    assert messages


def test_the_towers_of_transformers_give_the_same_features() -> None:
    checkpoint = load_checkpoint(BUNDLED, device=torch.device("cpu"))
    ((image, boxes),) = make_workload(1, 5, [LabelKind.BRIEF_CAPTION], 1, seed=2).images
    prepared = checkpoint.processor.prepare(image, boxes)

    with torch.inference_mode():
        theirs = encode_by_transformers(checkpoint.model, prepared)
        (ours,) = checkpoint.model.encode_images([prepared])

    torch.testing.assert_close(theirs.image_embeds, ours.image_embeds, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(theirs.region_embeds, ours.region_embeds, atol=1e-4, rtol=1e-4)


def test_the_preset_has_the_released_size() -> None:
    config = presets.PRESETS["vlm-fo1-3b"]
    assert config.region_width == 5888
    assert config.text.num_hidden_layers * config.text.num_key_value_heads == 72


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(ConfigError, match="vlm-fo1-3b"):
        presets.random_preset("vlm-fo1-7b", device=torch.device("cpu"), dtype=torch.float32)


def test_the_table_of_the_gpu_is_written_within_its_time_and_names_what_did_not_fit(tmp_path: Path) -> None:
    """The command of `make bench-gpu`, on the CPU with a small preset."""
    makefile = (Path(__file__).parents[2] / "Makefile").read_text("utf-8")
    table = tmp_path / "table.md"
    (command,) = re.findall(r"-m fo1_data.cli.main (bench engine .*)", makefile)
    arguments = command.replace("$(BENCH_PRESET)", "small").replace("$(BENCH_DEVICE)", "cpu")
    arguments = arguments.replace("$(BENCH_TABLE)", str(table)).split()
    small = ["--images", "1", "--edge-px", "112", "--regions", "3", "--max-new-tokens", "4", "--threads", "1"]

    done = CliRunner().invoke(app, [*arguments, *small], catch_exceptions=False)

    assert done.exit_code == 0, done.output
    ways = {line.split(" | ")[0].removeprefix("| ") for line in table.read_text("utf-8").splitlines()[2:]}
    assert {
        "plain loop",
        "engine",
        "engine eager",
        "`generate` on a shared prefix",
        "`generate`, left-padded",
        "`generate` on a shared prefix, its own towers",
    } <= ways
    assert "100 times the loop" in table.read_text("utf-8")
    # The plain loop over so much takes many times a second on any machine.
    much = ["--images", "1", "--regions", "60", "--max-new-tokens", "64", "--threads", "1", "--seconds", "1"]
    short = CliRunner().invoke(app, [*arguments, *much, "--json"], catch_exceptions=False)
    assert "left" in json.loads(short.stdout)["skipped"]["left_padded"]
    assert "Not measured: left_padded" in table.read_text("utf-8")
