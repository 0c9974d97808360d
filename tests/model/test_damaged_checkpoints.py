"""Files of a checkpoint that are damaged or odd: each is refused in one line that names it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fo1_data.errors import CheckpointError
from fo1_data.model import tokenizer_files
from fo1_data.model.attaching.base_record import read_base_record
from fo1_data.model.checkpoint_files import read_shapes
from fo1_data.model.checkpoint_folder import BUNDLED, find_checkpoint, list_weight_files, model_domain
from fo1_data.model.configuration import load_config
from fo1_data.model.node_cache import _is_intact
from fo1_data.model.processing import ImageProcessor
from fo1_data.model.tokenizer_files import read_tokenizer

DEEP = "[" * 100_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small files of the bundled checkpoint, without its weights."""
    copy = tmp_path / "copy"
    shutil.copytree(find_checkpoint(BUNDLED), copy, ignore=shutil.ignore_patterns("*.safetensors"))
    return copy


def refused(read: Callable[[], Any]) -> str:
    with pytest.raises(CheckpointError) as caught:
        read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "[",
        DEEP,
        "7",
        "{}",
        '{"weight_map": 7}',
        '{"weight_map": {}}',
        '{"weight_map": {"a": 7}}',
        '{"weight_map": {"a": ["x"]}}',
        '{"weight_map": {"a": "x\\u0000"}}',
        '{"weight_map": {"a": "../model.safetensors"}}',
        '{"weight_map": {"a": "/etc/hostname"}}',
        '{"weight_map": {"a": ""}}',
    ],
)
def test_an_index_that_names_no_files_of_its_folder(folder: Path, text: str) -> None:
    (folder.parent / "model.safetensors").write_bytes(b"of somebody else")
    (folder / "model.safetensors.index.json").write_text(text)
    assert "index" in refused(lambda: list_weight_files(folder))


@pytest.mark.parametrize("name", ["x" * 3000, "x\ny", "x\ud800"])
def test_an_index_that_names_a_file_that_is_not_there(folder: Path, name: str) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    message = refused(lambda: list_weight_files(folder))
    assert "x" in message.partition(": no ")[2]
    assert message.isprintable()


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0[]"])
def test_weights_that_are_no_weights_have_no_shapes(folder: Path, data: bytes) -> None:
    (folder / "model.safetensors").write_bytes(data)
    assert "model.safetensors" in refused(lambda: read_shapes(folder))


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": "64"},
        {"hidden_size": 0},
        {"hidden_size": -64},
        {"num_attention_heads": 0},
        {"num_hidden_layers": 2.5},
        {"rms_norm_eps": None, "rope_theta": "much"},
        {"rope_scaling": ["mrope"]},
        {"rope_scaling": {"type": "mrope", "mrope_section": "ab"}},
        {"vision_config": [1, 2]},
        {"mm_num_region_tokens": True},
        {"mm_projector_type": ["identity"]},
        {"model_type": ["x"]},
        {"architectures": 7},
        {"fo1_long_edge_limit_px": "wide"},
        {"fo1_long_edge_limit_px": 1e400},
    ],
)
def test_a_setting_of_a_wrong_kind(folder: Path, change: dict[str, Any]) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert str(folder) in refused(lambda: load_config(folder))


@pytest.mark.parametrize(
    "change",
    [
        {"size": [1], "min_pixels": None},
        {"min_pixels": "many"},
        {"max_pixels": -3},
        {"image_mean": [0.5]},
        {"image_mean": "abc"},
        {"image_std": [1, 0, 1]},
        {"image_std": [1, 10**400, 1]},
    ],
)
def test_settings_of_images_of_a_wrong_kind(folder: Path, change: dict[str, Any]) -> None:
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    config = load_config(folder)
    assert "preprocessor_config.json" in refused(lambda: ImageProcessor(folder, config))


@pytest.mark.parametrize(
    "text",
    [DEEP, "[]", '{"base": 7}', '{"base": {}, "auxiliary": {}}'],
)
def test_a_record_of_base_weights_of_another_form(folder: Path, text: str) -> None:
    (folder / "base_weights.json").write_text(text)
    assert "base_weights.json" in refused(lambda: read_base_record(folder))


@pytest.mark.parametrize("field", [{"sha256": 7}, {"sha256": {"a": 7}}, {"rows": {"a": "b"}}])
def test_hashes_and_rows_of_another_form(folder: Path, field: dict[str, Any]) -> None:
    source = {"name": "a", "model_type": "b", "licence": None, **field}
    document = {"base": source, "auxiliary": source, "seed": 1}
    (folder / "base_weights.json").write_text(json.dumps(document))
    assert "base_weights.json" in refused(lambda: read_base_record(folder))


@pytest.mark.parametrize("text", [DEEP, "[]", "{", '{"domain": 7}'])
def test_a_card_that_cannot_be_read_names_no_domain(folder: Path, text: str) -> None:
    (folder / "model_card.json").write_text(text)
    assert model_domain(folder) is None


@pytest.mark.parametrize("text", [DEEP, "[]", '{"sha256": 7}', '{"sha256": {"a": 1}}'])
def test_a_record_of_a_copy_that_cannot_be_read_is_of_no_copy(tmp_path: Path, text: str) -> None:
    (tmp_path / "fetched.json").write_text(text)
    assert not _is_intact(tmp_path)


class PanicException(BaseException):
    """As `tokenizers` raises it for files that it cannot bear."""


@pytest.mark.parametrize("error", [PanicException("range end\nout of range"), ValueError("a\nb")])
def test_a_tokenizer_that_its_library_cannot_bear(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(tokenizer_files, "_read_vocabulary", fail)
    assert "tokenizer does not load" in refused(lambda: read_tokenizer(folder))


def test_a_stop_is_no_fault_of_a_tokenizer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tokenizer_files, "_read_vocabulary", stop)
    with pytest.raises(KeyboardInterrupt):
        read_tokenizer(folder)
