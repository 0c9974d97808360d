"""Configurations that no model can have: one line that names the folder, in no time and no memory."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from random_checkpoint import OVERRIDES, raw_config, write_random_checkpoint

from fo1_data.errors import CheckpointError
from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.configuration import parse_config
from fo1_data.model.engine.engine import Fo1Engine

ODD: list[tuple[dict[str, Any], str]] = [
    ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
    ({"hidden_size": 2**40}, "hidden_size"),
    ({"intermediate_size": 2**40}, "intermediate_size"),
    ({"vocab_size": 2**40}, "vocab_size"),
    ({"num_attention_heads": 5}, "num_attention_heads"),
    ({"num_key_value_heads": 3}, "num_key_value_heads"),
    ({"rope_scaling": {"type": "mrope", "mrope_section": [4]}}, "mrope_section"),
    ({"mm_roi_output_size": 2**20}, "mm_roi_output_size"),
    ({"mm_num_region_tokens": 50}, "mm_num_region_tokens"),
    ({"mm_num_region_tokens": 10**9}, "mm_num_region_tokens"),
    ({"fo1_long_edge_limit_px": 0}, "fo1_long_edge_limit_px"),
    ({"fo1_long_edge_limit_px": "640"}, "fo1_long_edge_limit_px"),
    ({"fo1_ocr_crop_min_pixels": 10**12}, "fo1_ocr_crop_min_pixels"),
]
ODD_VISION: list[tuple[dict[str, Any], str]] = [
    ({"depth": 10**9}, "depth"),
    ({"num_heads": 3}, "num_heads"),
    ({"fullatt_block_indexes": []}, "fullatt_block_indexes"),
    ({"fullatt_block_indexes": [0, 7]}, "fullatt_block_indexes"),
    ({"fullatt_block_indexes": [1, 1]}, "fullatt_block_indexes"),
    ({"window_size": 1}, "window_size"),
    ({"spatial_merge_size": 2**20}, "spatial_merge_size"),
]
ODD_AUXILIARY: list[tuple[dict[str, Any], str]] = [
    ({"depths": [10**9, 1, 1, 1]}, "depths"),
    ({"depths": [1, 1]}, "depths"),
    ({"num_heads": [3, 2, 2, 2]}, "num_heads"),
    ({"num_groups": [3, 2, 2, 2]}, "num_groups"),
    ({"patch_padding": [2**20, 1, 1, 1]}, "patch_padding"),
    ({"window_size": 2**20}, "window_size"),
]


def refusal(raw: dict[str, Any], overrides: dict[str, Any]) -> str:
    began_s = time.process_time()
    with pytest.raises(CheckpointError, match="^folder: ") as raised:
        parse_config(raw, overrides, "folder")
    assert time.process_time() - began_s < 2
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(("changes", "name"), ODD)
def test_sizes_that_do_not_fit_are_named(changes: dict[str, Any], name: str) -> None:
    assert name in refusal(raw_config(**changes), OVERRIDES)


@pytest.mark.parametrize(("changes", "name"), ODD_VISION)
def test_sizes_of_the_vision_tower_that_do_not_fit_are_named(changes: dict[str, Any], name: str) -> None:
    raw = raw_config()
    raw["vision_config"] |= changes
    assert name in refusal(raw, OVERRIDES)


@pytest.mark.parametrize(("changes", "name"), ODD_AUXILIARY)
def test_sizes_of_the_auxiliary_tower_that_do_not_fit_are_named(changes: dict[str, Any], name: str) -> None:
    assert name in refusal(raw_config(), {**OVERRIDES, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_checkpoint(tmp_path_factory.mktemp("odd") / "model")


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("config.json", {"hidden_act": "no-such"}, "config.json describes no model"),
        ("preprocessor_config.json", {"min_pixels": 10**12, "max_pixels": 10**12}, "no number of pixels"),
        ("preprocessor_config.json", {"min_pixels": 10**6, "max_pixels": 10**5}, "over max_pixels"),
        ("preprocessor_config.json", {"image_mean": [1e30, 0, 0]}, "image_mean and image_std"),
        ("preprocessor_config.json", {"image_std": [1e-30, 1, 1]}, "image_mean and image_std"),
        ("preprocessor_config.json", {"image_std": [1, 1]}, "image_mean and image_std"),
        ("config.json", {"model_type": "a\nb"}, "model_type a b"),
        ("config.json", {"architectures": ["\ud800"]}, "architecture .ud800"),
        ("config.json", {"fo1_ocr_crop_min_pixels": [4096]}, "fo1_ocr_crop_min_pixels"),
        ("tokenizer_config.json", {"added_tokens_decoder": {}}, "no token"),
    ],
)
def test_a_folder_that_does_not_open_is_named(
    folder: Path, name: str, changes: dict[str, Any], words: str
) -> None:
    kept = (folder / name).read_text()
    try:
        (folder / name).write_text(json.dumps({**json.loads(kept), **changes}))
        with pytest.raises(CheckpointError, match=words) as raised:
            load_checkpoint(str(folder))
        assert str(raised.value).startswith(str(folder))
    finally:
        (folder / name).write_text(kept)


def test_the_checkpoint_without_changes_opens_an_image_of_many_boxes(folder: Path) -> None:
    """What `mm_num_region_tokens` is for: a prompt names a hundred regions."""
    engine = Fo1Engine(load_checkpoint(str(folder)), max_bytes=2**28)
    boxes = np.tile(np.array([[4, 5, 30, 33]], dtype=np.float32), (100, 1))
    (opened,) = engine.open([(Image.new("RGB", (56, 40)), boxes)])
    assert opened.num_regions == 100
