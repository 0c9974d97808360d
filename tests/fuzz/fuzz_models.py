"""Whole checkpoints of odd configurations: answers, or a line that names a file."""

import copy
import json
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_outcomes import check_line
from fuzz_target import Runner, check
from made_corpora import damaged
from odd_values import ODD_TEXTS, change, odd_value, places_of
from peak_memory import limited_memory, peak_bytes
from PIL import Image

from fo1_data.errors import CheckpointError
from fo1_data.model.checkpoint import describe, load_checkpoint
from fo1_data.model.checkpoint_folder import checkpoint_sha256
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import Question

# The weights are a quarter of a megabyte. A thread of the processor that starts takes some, too.
MOST_BYTES = 300 * 2**20
_ENGINE_BYTES = 64 * 2**20
# Beyond it an allocation fails, so that no input takes the machine's memory.
_ADDRESSES = 2 * 2**30
_CONFIG = "config.json"
# What people set: a number of another size or sign, and values of another type.
_NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 16, 31, 33, 64, 100, 1024, 2**20, 2**31, 2**40, 2**63, 10**30)
_NUMBERS += (-1, 0.5, 1e-12, 1e30, float("inf"), float("nan"))


@contextmanager
def models(folder: Path) -> Iterator[Runner]:
    samples = [_sample(folder / name, changes) for name, changes in _kinds().items()]
    place = folder / "checkpoint"
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 56, 3), dtype=np.uint8))
    for files in samples:
        _write(place, files)
        check(_opened(place, image) == "answered", "the sample does not answer")

    def run(chance: random.Random) -> str:
        with limited_memory(_ADDRESSES):
            return _run(place, samples, image, chance)

    yield run


def _run(
    place: Path, samples: Sequence[Mapping[str, bytes]], image: Image.Image, chance: random.Random
) -> str:
    _write(place, _changed(chance.choice(samples), chance))
    before = peak_bytes(begin=True)
    outcome = _opened(place, image)
    used = peak_bytes() - before
    check(used < MOST_BYTES, f"{used / 2**20:.0f} MiB")
    return outcome


def _opened(place: Path, image: Image.Image) -> str:
    """Open it as `fo1 label` does, and ask about an image."""
    try:
        checkpoint_sha256(place)
        checkpoint = load_checkpoint(str(place))
    except CheckpointError as error:
        words = str(error)
        check_line(words)
        check(str(place) in words and len(words) < 3000, "no file is named:", words)
        return "refused"
    described = describe(str(place))
    check(not (described["missing"] or described["wrong_shape"] or described["unexpected"]), described)
    engine = Fo1Engine(checkpoint, max_bytes=_ENGINE_BYTES)
    opened = engine.open([(image, np.array([[4, 5, 30, 33]], dtype=np.float32))])
    (answer,) = engine.ask([Question(opened[0], "What is <region0>?", max_new_tokens=2)])
    engine.close(opened)
    check(bool(np.isfinite(answer.logprobs).all()), "odd figures:", answer)
    return "answered"


def _changed(files: Mapping[str, bytes], chance: random.Random) -> dict[str, bytes | None]:
    """The files of a checkpoint, one or two of them changed. None: a folder of that name."""
    changed: dict[str, bytes | None] = dict(files)
    names = [name for name in files if not name.endswith(".safetensors")]
    for _ in range(chance.choice((1, 1, 1, 2))):
        name = chance.choice((_CONFIG, _CONFIG, _CONFIG, chance.choice(names)))
        way = chance.random()
        if way < 0.04:
            changed.pop(name, None)
        elif way < 0.06:
            changed[name] = None
        elif name.endswith(".json"):
            changed[name] = _changed_json(files[name], chance)
        else:
            text = files[name].decode()
            lines = text.split("\n")
            lines[chance.randrange(len(lines))] = chance.choice((*ODD_TEXTS, lines[-1], "a b", "ab" * 40))
            changed[name] = damaged("\n".join(lines), chance)[0]
    return changed


def _changed_json(data: bytes, chance: random.Random) -> bytes:
    document = json.loads(data)
    for _ in range(chance.choice((1, 1, 2, 3))):
        places = places_of(document)
        if chance.random() < 0.3 or not places:
            change(document, chance, 1)
            continue
        container, key = chance.choice(places)
        is_number = isinstance(container[key], int | float)
        container[key] = chance.choice(_NUMBERS) if is_number or chance.random() < 0.2 else odd_value(chance)
    return damaged(json.dumps(document, default=str), chance)[0]


def _write(place: Path, files: Mapping[str, bytes | None]) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name, data in files.items():
        if data is None:
            (place / name).mkdir()
        else:
            (place / name).write_bytes(data)


def _kinds() -> dict[str, dict[str, Any]]:
    """Settings of checkpoints: of the released base, and of one whose tower gives deep features."""
    text = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 376,
        "rope_scaling": {"rope_type": "default", "mrope_section": [4, 2, 2]},
    }
    vision = {
        "depth": 2,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_heads": 2,
        "out_hidden_size": 32,
        "patch_size": 14,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0],
    }
    names = {"model_type": "fo1_qwen3_vl", "architectures": ["Fo1Qwen3VLForConditionalGeneration"]}
    explicit = {
        "max_position_embeddings": 4096,
        "hidden_act": "silu",
        "mm_roi_output_size": 7,
        "mm_num_region_tokens": 100,
        "mm_projector_type": "identity",
        "fo1_long_edge_limit_px": 640,
        "fo1_ocr_crop_min_pixels": 4096,
    }
    return {
        "released": explicit,
        "deep": {**names, "text_config": text, "vision_config": vision, "tie_word_embeddings": False},
    }


def _sample(folder: Path, settings: Mapping[str, Any]) -> dict[str, bytes]:
    from random_checkpoint import write_random_checkpoint

    write_random_checkpoint(folder, **copy.deepcopy(dict(settings)))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 258, "temperature": 0.1}))
    (folder / "added_tokens.json").write_text(json.dumps({"<|endoftext|>": 256}))
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
