"""The files of a checkpoint's folder: each is read, or refused in one line."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from changed_bytes import changed_anywhere
from fuzz_outcomes import same_twice
from fuzz_target import Runner, check
from made_corpora import damaged
from odd_values import change, num_changes
from safetensors.torch import save

from fo1_data.model.attaching.base_record import BASE_RECORD, read_base_record
from fo1_data.model.checkpoint_files import read_shapes, read_tensors
from fo1_data.model.checkpoint_folder import BUNDLED, checkpoint_sha256, find_checkpoint, model_domain
from fo1_data.model.configuration import load_config
from fo1_data.model.processing import ImageProcessor
from fo1_data.model.tokenizer_files import read_tokenizer
from fo1_data.opinions.load import _config_of
from fo1_data.proposals.identity import model_type_of, tiny_detector_weights
from fo1_data.training.best_kept import load_kept
from fo1_data.training.run_folder import load_settings
from fo1_data.training.run_log import RunLog

_INDEX, _SHARD = "model.safetensors.index.json", "model-00001-of-00002.safetensors"
_FIGURES: dict[str, Any] = {"loss": 1.0, "accuracy": {}, "questions": {}, "guess": {}}
_OF_DETECTORS: tuple[Callable[[Path], Any], ...] = (
    lambda folder: _config_of(str(folder)),
    lambda folder: model_type_of(str(folder)),
    lambda folder: tiny_detector_weights(str(folder)),
)
_READERS: dict[str, tuple[Callable[[Path], Any], ...]] = {
    "config.json": (load_config, *_OF_DETECTORS),
    "tiny_overrides.json": (load_config,),
    "preprocessor_config.json": (lambda folder: ImageProcessor(folder, load_config(folder)),),
    "tokenizer_config.json": (read_tokenizer,),
    "vocab.json": (read_tokenizer,),
    "merges.txt": (read_tokenizer,),
    _INDEX: (read_shapes, checkpoint_sha256),
    _SHARD: (read_shapes, lambda folder: list(read_tensors(folder, torch.device("cpu")))),
    BASE_RECORD: (read_base_record,),
    "model_card.json": (model_domain,),
    "training.json": (load_settings,),
    "losses.jsonl": (lambda folder: RunLog(folder / "losses.jsonl").lines(),),
    "best/measured.json": (load_kept,),
}


@contextmanager
def checkpoints(folder: Path) -> Iterator[Runner]:
    samples = _samples()
    place = folder / "checkpoint"

    def run(chance: random.Random) -> str:
        name = chance.choice(list(samples))
        shutil.rmtree(place, ignore_errors=True)
        for other, data in samples.items():
            (place / other).parent.mkdir(parents=True, exist_ok=True)
            (place / other).write_bytes(data)
        (place / name).write_bytes(_changed(name, samples[name], chance))
        outcomes = [same_twice(partial(read, place)) for read in _READERS[name]]
        check(list(folder.iterdir()) == [place], "something was written")
        return "refused" if "refused" in outcomes else "read"

    yield run


def _samples() -> dict[str, bytes]:
    bundled = find_checkpoint(BUNDLED)
    tensor = {"model.norm.weight": torch.ones(4), "lm_head.weight": torch.ones(2, 3)}
    source = {"name": "a", "model_type": "qwen2_5_vl", "licence": "MIT", "sha256": {"a.weight": "ab" * 32}}
    documents: dict[str, Any] = {
        _INDEX: {"metadata": {"total_size": 40}, "weight_map": dict.fromkeys(tensor, _SHARD)},
        BASE_RECORD: {"base": {**source, "rows": {"a.weight": 3}}, "auxiliary": source, "seed": 4},
        "model_card.json": {"domain": "shapes", "name": "tiny"},
        "training.json": {"epochs": 2, "learning_rate": 1e-4, "stage": "boxes"},
        "losses.jsonl": {"step": 1, "loss": 2.5},
        "best/measured.json": {"step": 3, "validation": dict(_FIGURES)},
    }
    # The small vocabulary: reading all of it takes most of the time.
    names = ("config.json", "tiny_overrides.json", "preprocessor_config.json", "merges.txt")
    files = {name: (bundled / name).read_bytes() for name in names}
    vocabulary = json.loads((bundled / "vocab.json").read_text())
    tokens = json.loads((bundled / "tokenizer_config.json").read_text())
    few = dict(list(tokens["added_tokens_decoder"].items())[:4])
    files["vocab.json"] = json.dumps(vocabulary).encode()
    files["tokenizer_config.json"] = json.dumps({**tokens, "added_tokens_decoder": few}).encode()
    files |= {name: json.dumps(document).encode() for name, document in documents.items()}
    return files | {_SHARD: save(tensor)}


def _changed(name: str, data: bytes, chance: random.Random) -> bytes:
    if name == _SHARD:
        return _changed_weights(data, chance)
    if name.endswith(".txt") or chance.random() < 0.05:
        return changed_anywhere(data, chance)
    if chance.random() < 0.02:
        return chance.choice(("[" * 30_000, '{"a":' * 30_000, "9" * 6000, "\0", "")).encode()
    document = json.loads(data)
    change(document, chance, num_changes(chance))
    return damaged(json.dumps(document, default=str), chance)[0]


def _changed_weights(data: bytes, chance: random.Random) -> bytes:
    """A file of weights: eight bytes that say how long the header is, the header (JSON), the values."""
    if chance.random() < 0.4:
        return changed_anywhere(data, chance)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header, chance, num_changes(chance))
    text = json.dumps(header, default=str).encode(errors="surrogatepass")
    told = len(text) if chance.random() < 0.9 else chance.choice((0, 1, len(text) + 1, 2**31, 2**63))
    return told.to_bytes(8, "little") + text + data[8 + length :]
