"""Loads any object detector of transformers as a source of boxes.

From a local folder or a hub id, through the Auto classes, from safetensors only; a checkpoint that lacks
weights of its model is refused.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from fo1_data.errors import CheckpointError
from fo1_data.proposals.detections import Detector
from fo1_data.proposals.detectors.closed_set import ClosedSetDetector
from fo1_data.proposals.detectors.forward import LoadedCheckpoint
from fo1_data.proposals.detectors.probe import probe, reason_of
from fo1_data.proposals.detectors.text_lines import TextLineDetector
from fo1_data.proposals.detectors.text_prompted import TextPromptedDetector
from fo1_data.proposals.identity import detector_digest, find_detector
from fo1_data.proposals.sought_words import SoughtWords

_TEXT_LINES = re.compile(r"pp_ocrv\d+_\w+_det")


def load_transformers_detector(
    spec: str, *, device: Any = None, words: SoughtWords | None = None
) -> Detector:
    """The detector at a folder or hub id, tried on one image. words: what a zero-shot detector looks for.

    Raises CheckpointError, or ConfigError for words that it does not take, with a message of one line.
    """
    words = words or SoughtWords()
    folder = find_detector(spec)
    make, is_told = _load(spec, folder, torch.device(device or "cpu"))
    detector = make(
        _weights_sha256(folder, list(words.of_a_probe()) if is_told else None), licence_of(folder)
    )
    probe(spec, detector, words)
    return detector


def _load(
    spec: str, folder: Path, device: torch.device
) -> tuple[Callable[[str, str | None], Detector], bool]:
    """What makes the detector of its hash and licence, and whether it is told what to look for."""
    from transformers import (
        MODEL_FOR_OBJECT_DETECTION_MAPPING,
        MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING,
        AutoConfig,
        AutoImageProcessor,
        AutoModelForObjectDetection,
        AutoModelForZeroShotObjectDetection,
        AutoProcessor,
    )

    try:
        config = AutoConfig.from_pretrained(folder)
        is_told = type(config) in MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING
        if not is_told and type(config) not in MODEL_FOR_OBJECT_DETECTION_MAPPING:
            raise CheckpointError(f"{spec} is a {config.model_type} model, which is not an object detector")
        model_class = AutoModelForZeroShotObjectDetection if is_told else AutoModelForObjectDetection
        processor_class = AutoProcessor if is_told else AutoImageProcessor
        loaded = load_parts(spec, folder, model_class, processor_class, device)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise CheckpointError(f"{spec} does not load as a detector: {reason_of(error)}") from error
    if is_told:
        return lambda sha256, licence: TextPromptedDetector(loaded, sha256, licence), True
    if _TEXT_LINES.fullmatch(config.model_type):
        return lambda sha256, licence: TextLineDetector(loaded, sha256, licence), False
    return lambda sha256, licence: ClosedSetDetector(loaded, sha256, licence), False


def load_parts(
    spec: str, folder: Path, model_class: Any, processor_class: Any, device: torch.device
) -> LoadedCheckpoint:
    """A model with its processor. Raises CheckpointError if weights are missing; and as transformers does."""
    model, report = model_class.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True
    )
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(f"{spec} lacks {len(missing)} weights of its model, such as {missing[0]}")
    processor = processor_class.from_pretrained(folder)
    _complete_size(processor)
    return LoadedCheckpoint(spec, folder, model.to(device).eval(), processor, device)


def _complete_size(processor: Any) -> None:
    """Let an image processor that knows only the longest edge scale to it, as its model was trained.

    Old configurations, such as those of Table Transformer 1.1, name no other; transformers refuses them.
    """
    images = getattr(processor, "image_processor", processor)
    size = dict(images.size or {})
    longest = size.get("longest_edge")
    if longest and not any(value for key, value in size.items() if key != "longest_edge"):
        images.size = type(images.size)(shortest_edge=longest, longest_edge=longest)


def licence_of(folder: Path) -> str | None:
    """The licence that a checkpoint's model card or configuration names; None if neither names one."""
    card = folder / "README.md"
    if card.is_file():
        front_matter = re.match(r"^---\s*\n(.*?)\n---", card.read_text("utf-8", "replace"), re.DOTALL)
        if front_matter:
            try:
                metadata = yaml.safe_load(front_matter.group(1))
            except yaml.YAMLError:
                metadata = None
            licence = metadata.get("license") if isinstance(metadata, dict) else None
            if isinstance(licence, str):
                name = metadata.get("license_name")
                return str(name) if licence == "other" and name else licence
    config = folder / "config.json"
    licence = yaml.safe_load(config.read_text("utf-8")).get("license") if config.is_file() else None
    return licence if isinstance(licence, str) else None


def _weights_sha256(folder: Path, words: list[str] | None) -> str:
    digest = detector_digest(folder)
    digest.update(repr(words).encode())
    return digest.hexdigest()
