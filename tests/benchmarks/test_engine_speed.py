"""The engine benchmark: equal answers of engine and loop, also with random weights."""

import pytest
import torch
from random_checkpoint import OVERRIDES, raw_config

from fo1_data.benchmarks.engine_speed import bench_engine
from fo1_data.benchmarks.workload import make_workload
from fo1_data.errors import ConfigError
from fo1_data.model import presets
from fo1_data.model.configuration import parse_config
from schemas.labels import LabelKind


def test_random_weights_are_measured_with_equal_answers() -> None:
    small = parse_config(raw_config(vocab_size=800), OVERRIDES)
    checkpoint = presets.random_checkpoint("small", small, device=torch.device("cpu"), dtype=torch.float32)
    workload = make_workload(3, 7, [LabelKind.BRIEF_CAPTION, LabelKind.OCR], 5, seed=1, edge_px=120)
    messages: list[str] = []

    document = bench_engine(checkpoint, workload, 2, messages.append)

    assert document["answers_equal"] is True
    assert workload.num_regions == 21
    assert document["ratio"] == pytest.approx(
        document["engine"]["regions_per_s"] / document["loop"]["regions_per_s"]
    )
    assert document["peers_equal"]
    assert min(document["ratio_shared_prefix"], document["ratio_left_padded"]) > 0
    assert len(messages) == 3


def test_the_preset_has_the_released_size() -> None:
    config = presets.PRESETS["vlm-fo1-3b"]
    assert config.region_width == 5888
    assert config.text.num_hidden_layers * config.text.num_key_value_heads == 72


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(ConfigError, match="vlm-fo1-3b"):
        presets.random_preset("vlm-fo1-7b", device=torch.device("cpu"), dtype=torch.float32)
