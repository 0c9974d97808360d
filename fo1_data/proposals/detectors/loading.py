"""Loads any object detector of transformers as a source of boxes.

From a local folder or a hub id, through the Auto classes, from safetensors only; a checkpoint that lacks
weights of its model is refused.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fo1_data.errors import CheckpointError
from fo1_data.model.licences import licence_of
from fo1_data.proposals.detections import Detector
from fo1_data.proposals.detectors.closed_set import ClosedSetDetector
from fo1_data.proposals.detectors.florence import MODEL_TYPE as FLORENCE
from fo1_data.proposals.detectors.florence import FlorenceDetector
from fo1_data.proposals.detectors.forward import LoadedCheckpoint
from fo1_data.proposals.detectors.probe import probe, reason_of
from fo1_data.proposals.detectors.sam3 import MODEL_TYPES as SAM3
from fo1_data.proposals.detectors.sam3 import Sam3Detector
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
    try:
        kind = _kind(spec, folder)
        loaded = load_parts(spec, folder, kind.model, kind.processor, torch.device(device or "cpu"))
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise CheckpointError(f"{spec} does not load as a detector: {reason_of(error)}") from error
    sha256 = weights_sha256(folder, list(words.of_a_probe()) if kind.is_told else None)
    detector = kind.detector(loaded, sha256, licence_of(folder))
    probe(spec, detector, words)
    return detector


@dataclass(frozen=True)
class _Kind:
    """The classes of transformers for a checkpoint and ours; whether it is told what to look for."""

    model: Any
    processor: Any
    detector: Callable[[LoadedCheckpoint, str, str | None], Detector]
    is_told: bool


def _kind(spec: str, folder: Path) -> _Kind:
    import transformers as of

    config = of.AutoConfig.from_pretrained(folder)
    if config.model_type in SAM3:
        return _Kind(of.Sam3Model, of.Sam3Processor, Sam3Detector, True)
    if config.model_type == FLORENCE:
        return _Kind(of.Florence2ForConditionalGeneration, of.Florence2Processor, FlorenceDetector, True)
    if type(config) in of.MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING:
        return _Kind(of.AutoModelForZeroShotObjectDetection, of.AutoProcessor, TextPromptedDetector, True)
    if type(config) not in of.MODEL_FOR_OBJECT_DETECTION_MAPPING:
        raise CheckpointError(f"{spec} is a {config.model_type} model, which is not an object detector")
    detector = TextLineDetector if _TEXT_LINES.fullmatch(config.model_type) else ClosedSetDetector
    return _Kind(of.AutoModelForObjectDetection, of.AutoImageProcessor, detector, False)


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


def weights_sha256(folder: Path, words: list[str] | None) -> str:
    """The SHA-256 (hex) of a checkpoint, and of the words that it is told to look for."""
    digest = detector_digest(folder)
    digest.update(repr(words).encode())
    return digest.hexdigest()
