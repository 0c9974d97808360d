"""Any object detector of transformers as a source of boxes: closed-set, or zero-shot with a vocabulary.

Loads a local folder or a hub id through the Auto classes, from safetensors only, and refuses a checkpoint
that lacks weights of its model. Classes are dropped, because a proposal has none. Boxes are `xyxy` in
absolute pixels of the given image; scores are the detector's own, 0 to 1.
"""

import inspect
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from fo1_data.boxes import Boxes, as_boxes
from fo1_data.errors import CheckpointError
from fo1_data.proposals.detector_boxes import Scores
from fo1_data.proposals.identity import detector_digest, find_detector

_BATCH_IMAGES = 8
# What a zero-shot detector looks for without a vocabulary.
DEFAULT_VOCABULARY = ("object",)


def load_transformers_detector(
    spec: str, *, device: Any = None, vocabulary: Sequence[str] = ()
) -> "TransformersDetector":
    """The detector at a folder or hub id. Raises CheckpointError with a message of one line."""
    from transformers import (
        MODEL_FOR_OBJECT_DETECTION_MAPPING,
        MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING,
        AutoConfig,
        AutoImageProcessor,
        AutoModelForObjectDetection,
        AutoModelForZeroShotObjectDetection,
        AutoProcessor,
    )

    folder = find_detector(spec)
    try:
        config = AutoConfig.from_pretrained(folder)
        zero_shot = type(config) in MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING
        if not zero_shot and type(config) not in MODEL_FOR_OBJECT_DETECTION_MAPPING:
            raise CheckpointError(f"{spec} is a {config.model_type} model, which is not an object detector")
        model_class = AutoModelForZeroShotObjectDetection if zero_shot else AutoModelForObjectDetection
        processor_class = AutoProcessor if zero_shot else AutoImageProcessor
        model, report = model_class.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
        processor = processor_class.from_pretrained(folder)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise CheckpointError(f"{spec} does not load as a detector: {_one_line(error)}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(f"{spec} lacks {len(missing)} weights of its model, such as {missing[0]}")
    words = list(vocabulary or DEFAULT_VOCABULARY) if zero_shot else None
    return TransformersDetector(folder, model, processor, words, torch.device(device or "cpu"))


class TransformersDetector:
    """A loaded detector. `words`: the vocabulary of a zero-shot detector, None for a closed-set one."""

    default_score_floor = 0.1
    default_nms_iou = 0.7

    def __init__(
        self,
        folder: Path,
        model: Any,
        processor: Any,
        words: list[str] | None,
        device: torch.device,
    ) -> None:
        self.sha256 = _weights_sha256(folder, words)
        self.licence = licence_of(folder)
        self._model = model.to(device).eval()
        self._processor = processor
        self._words = words
        self._device = device

    @torch.inference_mode()
    def detect(self, images: list[Image.Image]) -> list[tuple[Boxes, Scores]]:
        """Boxes (N, 4) and scores (N,) of each image, unfiltered.

        Images are prepared separately and batched only with images whose tensors have the same shape.
        Nothing is padded, so the boxes of an image do not depend on the rest of the batch.
        """
        prepared = [self._prepare(image) for image in images]
        groups: dict[Any, list[int]] = defaultdict(list)
        for index, inputs in enumerate(prepared):
            groups[tuple(inputs["pixel_values"].shape)].append(index)
        detections: dict[int, tuple[Boxes, Scores]] = {}
        for indices in groups.values():
            for start in range(0, len(indices), _BATCH_IMAGES):
                batch = indices[start : start + _BATCH_IMAGES]
                sizes = [images[index].size for index in batch]
                results = self._forward([prepared[index] for index in batch], sizes)
                detections.update(zip(batch, results, strict=True))
        return [detections[index] for index in range(len(images))]

    def _prepare(self, image: Image.Image) -> dict[str, torch.Tensor]:
        text = {} if self._words is None else {"text": [self._words]}
        inputs = self._processor(images=[image], return_tensors="pt", **text)
        return {key: value for key, value in inputs.items() if isinstance(value, torch.Tensor)}

    def _forward(
        self, prepared: list[dict[str, torch.Tensor]], sizes_wh: list[tuple[int, int]]
    ) -> list[tuple[Boxes, Scores]]:
        inputs = {
            key: torch.cat([tensors[key] for tensors in prepared]).to(self._device) for key in prepared[0]
        }
        outputs = self._model(**inputs)
        sizes_hw = torch.tensor([(height, width) for width, height in sizes_wh], device=self._device)
        results = self._post_process(outputs, inputs, sizes_hw)
        return [
            (
                as_boxes(result["boxes"].float().cpu().numpy()),
                result["scores"].float().cpu().numpy().astype(np.float32),
            )
            for result in results
        ]

    def _post_process(self, outputs: Any, inputs: dict[str, torch.Tensor], sizes_hw: torch.Tensor) -> Any:
        """The processor's own post-processing without thresholds; the caller applies score floor and NMS."""
        if self._words is None:
            return self._processor.post_process_object_detection(
                outputs, threshold=0.0, target_sizes=sizes_hw
            )
        post_process = self._processor.post_process_grounded_object_detection
        options = {
            "input_ids": inputs.get("input_ids"),
            "text_labels": [self._words] * len(sizes_hw),
            "threshold": 0.0,
            "text_threshold": 0.0,
            "nms_threshold": 1.0,
        }
        parameters = inspect.signature(post_process).parameters
        supported = {name: value for name, value in options.items() if name in parameters}
        return post_process(outputs, target_sizes=sizes_hw, **supported)


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


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
